//! What a value must be able to do to be checkpointed, without its type.

use std::any::TypeId;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Accuracy, ByField, Check, FlushContext, Seen, decode};
use crate::error::{Error, Result};
use crate::record::{Address, RecordReader};
use crate::schema::{Schema, shape_with};

/// Readings of one value to find out whether it comes back in the same order each time. A map of two entries does in half of them.
const MAX_READINGS: usize = 24;

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
        fn shape(&self, samples: &[Vec<u8>]) -> Result<Schema>;

        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn encode(&self, save: &Rc<FlushContext>, bytes: &mut Vec<u8>, refs: &mut Vec<Address>)
        -> Result<()>;

        /// Reads back what `encode` wrote, and a sample of each collection in it, and compares.
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
        fn read_back(
            &self,
            shape: &Arc<Schema>,
            accuracy: Accuracy,
            backing: &Arc<dyn RecordReader>,
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
    fn shape(&self, samples: &[Vec<u8>]) -> Result<Schema> {
        shape_with::<T>(samples)
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn encode(&self, save: &Rc<FlushContext>, bytes: &mut Vec<u8>, refs: &mut Vec<Address>) -> Result<()> {
        save.encode(self, bytes, refs)
    }

    #[expect(private_interfaces, reason = "sealed: nobody outside can call it")]
    fn read_back(
        &self,
        shape: &Arc<Schema>,
        accuracy: Accuracy,
        backing: &Arc<dyn RecordReader>,
        bytes: &[u8],
        refs: &[Address],
    ) -> Result<()> {
        let look = |value: &T, accuracy| {
            let check = Check::new(Arc::clone(shape), Seen::default());
            let trial = FlushContext::on_trial_of_sample(backing.tag(), check, accuracy);
            trial.encode(value, &mut Vec::new(), &mut Vec::new())?;
            Ok(trial)
        };
        let transcript = |value: &T, accuracy| Ok(look(value, accuracy)?.swap_transcript(Vec::new()));
        let written = match transcript(self, accuracy) {
            // What it looks at was not written now: whether it can be read is another question.
            Err(Error::Io { .. } | Error::Corrupt { .. } | Error::MissingFeature { .. }) => None,
            written => Some(written?),
        };
        let address = refs.first().copied().unwrap_or(Address::from_bits(0));
        let decode = || decode::<T>(backing, address, bytes, refs);
        let restored = decode()?;
        let back = transcript(&restored, accuracy)?;
        // A value that others change meanwhile (an atomic) is not to be compared.
        let Some(written) = written.filter(|written| *written != back) else { return Ok(()) };
        if !transcript(self, accuracy).is_ok_and(|again| again == written) {
            return Ok(());
        }
        // A `HashMap` of std that is written as one text has another order whenever it is read: then order in texts says nothing.
        for _ in 0..MAX_READINGS {
            if transcript(&decode()?, accuracy)? != back
                && transcript(self, Accuracy::Loose)? == transcript(&restored, Accuracy::Loose)?
            {
                return Ok(());
            }
        }
        let read = look(&restored, Accuracy::Fields)?.take_by_field();
        let field = differing(look(self, Accuracy::Fields)?.take_by_field(), read, shape);
        let what = field.unwrap_or_else(|| "what it writes".to_owned());
        Err(Error::Encode {
            type_name: std::any::type_name::<T>(),
            reason: format!(
                "{what} reads back as another value; make Serialize and Deserialize agree (`serialize_with` and \
                 `deserialize_with`, `into` and `from`, implementations by hand)"
            ),
        })
    }
}

/// The name of a field that was read back as another value: preferably of one that has other values, not only another order.
fn differing(mut written: ByField, mut read: ByField, shape: &Schema) -> Option<String> {
    let name = |written: &ByField, read: &ByField| {
        let fields = written.keys().chain(read.keys());
        fields.filter(|field| written.get(field) != read.get(field)).find_map(|field| shape.full_name(*field))
    };
    let in_order = name(&written, &read);
    written.values_mut().chain(read.values_mut()).for_each(|values| values.sort_unstable());
    name(&written, &read).or(in_order)
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
