//! What a value must be able to do to be checkpointed, without its type.

use std::any::TypeId;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::node::codec::{Save, Shape, decode, shape_of};
use crate::node::{Address, Backing};

/// A value that can be checkpointed: `Serialize + DeserializeOwned + 'static`, which is all there is to implement.
///
/// Any serde type will do. Collections of this crate in it, at any depth, are written node by node and only where
/// they changed; everything else in it (a `Vec` or `HashMap` of std, a `String`) is written whole, each time.
pub trait Persist: sealed::Encode + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Persist for T {}

pub(super) mod sealed {
    use super::*;

    /// The work behind [`Persist`].
    pub trait Encode {
        #[doc(hidden)]
        fn type_of(&self) -> (TypeId, &'static str);

        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn shape(&self) -> Result<Shape>;

        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn encode(&self, save: &Rc<Save>, bytes: &mut Vec<u8>, refs: &mut Vec<Address>) -> Result<()>;

        /// Reads back what `encode` wrote, and a sample of each collection in it.
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn read_back(
            &self,
            trial: &Rc<Save>,
            backing: &Arc<dyn Backing>,
            bytes: &[u8],
            refs: &[Address],
        ) -> Result<()>;
    }
}

impl<T: Serialize + DeserializeOwned + 'static> sealed::Encode for T {
    fn type_of(&self) -> (TypeId, &'static str) {
        (TypeId::of::<T>(), std::any::type_name::<T>())
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn shape(&self) -> Result<Shape> {
        shape_of::<T>()
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn encode(&self, save: &Rc<Save>, bytes: &mut Vec<u8>, refs: &mut Vec<Address>) -> Result<()> {
        save.encode(self, bytes, refs)
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn read_back(
        &self,
        trial: &Rc<Save>,
        backing: &Arc<dyn Backing>,
        bytes: &[u8],
        refs: &[Address],
    ) -> Result<()> {
        let address = refs.first().copied().unwrap_or(Address::from_bits(0));
        let restored: T = decode(backing, address, bytes, refs)?;
        trial.encode(&restored, &mut Vec::new(), &mut Vec::new())
    }
}

/// Turns the failure of a trial into what the user has to hear: the value would be written and not read.
pub(super) fn unreadable(error: Error, type_name: &'static str) -> Error {
    match error {
        Error::Decode { type_name: part, reason, .. } => Error::Encode {
            type_name,
            reason: format!(
                "it does not read back what it writes (at {part}: {reason}); make Serialize and Deserialize agree"
            ),
        },
        error => error,
    }
}
