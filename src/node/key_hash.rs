//! A hash of keys that asks for no bound where it is called.
#![expect(
    unsafe_code,
    reason = "a function of keys whose type is forgotten, so that what holds it stays covariant"
)]

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ptr;

/// A function that hashes a `K`, made where `K: Hash` is known.
pub(crate) struct KeyHash<K> {
    hash: unsafe fn(*const ()) -> u64,
    _keys: PhantomData<fn() -> K>,
}

impl<K> Clone for KeyHash<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for KeyHash<K> {}

impl<K> KeyHash<K> {
    /// The function that hashes with `H`.
    pub(crate) fn with<H: Hasher + Default>() -> Self
    where
        K: Hash,
    {
        Self { hash: hash::<K, H>, _keys: PhantomData }
    }

    /// The hash of a key.
    #[inline]
    pub(crate) fn of(self, key: &K) -> u64 {
        // SAFETY: made for `K`, or for a `K` of which this one is a subtype: then they differ in lifetimes alone, and the
        // key is shared for the time of the call, as the function that was made for the longer or shorter one needs it.
        unsafe { (self.hash)(ptr::from_ref(key).cast()) }
    }
}

/// # Safety
/// `key` must point to a `K` that may be read.
unsafe fn hash<K: Hash, H: Hasher + Default>(key: *const ()) -> u64 {
    let mut hasher = H::default();
    // SAFETY: passed on to the caller.
    unsafe { &*key.cast::<K>() }.hash(&mut hasher);
    hasher.finish()
}
