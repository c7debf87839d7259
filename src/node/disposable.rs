//! A value and the function that takes it at the end, in a type that varies as the value's does.
#![expect(unsafe_code, reason = "a function whose type is forgotten, so that the value may be lent for less")]

use std::mem;
use std::ops::Deref;

/// A value, and what is done with it in the end if it is to be [disposed of](Self::dispose).
pub(crate) struct Disposable<T> {
    value: T,
    /// A `fn(U)`, where `U` was `T` when this was made. As a field, that would make the type invariant.
    dispose: fn(),
}

impl<T> Disposable<T> {
    pub(crate) fn new(value: T, dispose: fn(T)) -> Self {
        // SAFETY: function pointers are alike; it is turned back before it is called.
        Self { value, dispose: unsafe { mem::transmute::<fn(T), fn()>(dispose) } }
    }

    /// Lets the function have the value.
    pub(crate) fn dispose(self) {
        // SAFETY: it was made for the type that the value had when this was made. `T` may be a supertype by now (only
        // lifetimes are shorter), but the value is the same: it was behind a shared reference since, or nobody had it.
        let dispose = unsafe { mem::transmute::<fn(), fn(T)>(self.dispose) };
        dispose(self.value);
    }

    /// The value.
    pub(crate) fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Disposable<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}
