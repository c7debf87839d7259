//! How a collection, deep inside a user's type, meets the flush or the restore that is in progress.
//!
//! serde gives a nested value no way to ask its serializer for more than `Serializer` offers, so the two sides
//! meet in a thread-local slot. The protocol of one *exchange*, here for writing:
//!
//! 1. `Serializer::serialize_newtype_struct` sees a magic name and puts [`Handoff::Flush`] into the slot;
//! 2. it serialises the nested value, which is the collection's [`Inner`]; that takes the slot's content first of
//!    all, so the slot is idle again while the collection flushes (and runs user code, which may well start
//!    exchanges of its own, or call another format, to which the collection then looks like a plain map);
//! 3. the collection leaves [`Handoff::Saved`] or [`Handoff::Failed`], the writer takes it.
//!
//! A guard empties the slot when the exchange ends in any other way, a panic included.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serialize, Serializer};

use super::check::{Check, Seen};
use super::observe;
use super::portions::{Buffers, Portion, Root, RoundTrip};
use super::serializer;
use crate::error::{Error, Result};
use crate::record::recheck::{RECHECKED, Rechecks};
use crate::record::{Address, LiveSet, RecordHead, RecordReader, RecordWriter, Tag};
use crate::schema::{Collection, ITEMS, KEYS, Name, ROOT, Slot, UNKNOWN};
use crate::sync::per_thread;

/// One flush: nodes are encoded and appended through it. Bound to a thread.
pub(crate) struct FlushContext {
    sink: Rc<RefCell<dyn RecordWriter>>,
    /// Does not change while the sink is borrowed for this flush.
    live_set: Option<Arc<dyn LiveSet>>,
    rechecks: Option<Arc<Rechecks>>,
    /// Number of collections, one in another, that are being flushed.
    flushing: Cell<u32>,
    pool: RefCell<Vec<Buffers>>,
    /// Collections load and encode their items instead of flushing.
    trial: Option<RoundTrip>,
    /// How deep the value that encloses the collection being flushed is nested, see [`MAX_DEPTH`](super::MAX_DEPTH).
    depth: Cell<u32>,
    /// The place, in the shape of the whole, of the items of the collection being flushed.
    item: Cell<Slot>,
    check: Check,
    /// True if the shape has parts that are not known: values are then looked at before they are written.
    is_curious: bool,
    /// A value that the trace of the type needs; nothing can be written before.
    sample: RefCell<Option<Vec<u8>>>,
    /// Transcript of the values met on a trial, see [`observe`].
    transcript: RefCell<Vec<u8>>,
    accuracy: Accuracy,
    /// The field that is being looked at, of the innermost struct with named fields.
    field: Cell<Slot>,
    /// The values that stand in each field and in no field within it, where these are told apart.
    by_field: RefCell<ByField>,
}

/// Values by the fields they stand in.
pub(crate) type ByField = BTreeMap<Slot, Vec<Vec<u8>>>;

/// Purpose of a transcript.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accuracy {
    Exact,
    /// As exact, of a few items of each leaf.
    Brief,
    /// The order of bytes within a text is left out.
    Loose,
    /// Values are told apart by their fields, to name one that differs.
    Fields,
}

/// The sink of who only reads.
struct NullWriter(Tag);

impl RecordWriter for NullWriter {
    fn tag(&self) -> Tag {
        self.0
    }

    fn append(&mut self, _: RecordHead, _: &[Address], _: &[u8]) -> Result<Address> {
        Err(Error::Poisoned { cause: "it is only read".into() })
    }
}

impl FlushContext {
    /// Starts a flush into `sink` that knows nothing of the types it writes.
    #[cfg(any(test, loom, internals))]
    pub(crate) fn new(sink: Rc<RefCell<dyn RecordWriter>>) -> Rc<Self> {
        Self::checked(sink, Check::nothing())
    }

    /// Starts a flush into `sink` of a value of known shape.
    pub(crate) fn checked(sink: Rc<RefCell<dyn RecordWriter>>, check: Check) -> Rc<Self> {
        Rc::new(Self::of(sink, check, None))
    }

    fn of(sink: Rc<RefCell<dyn RecordWriter>>, check: Check, trial: Option<RoundTrip>) -> Self {
        let (live_set, rechecks) = (sink.borrow().live_set(), sink.borrow().rechecks());
        Self {
            sink,
            live_set,
            rechecks,
            flushing: Cell::new(0),
            pool: RefCell::default(),
            trial,
            depth: Cell::new(0),
            item: Cell::new(ROOT),
            is_curious: check.is_curious(),
            check,
            sample: RefCell::default(),
            transcript: RefCell::default(),
            accuracy: Accuracy::Exact,
            field: Cell::new(ROOT),
            by_field: RefCell::default(),
        }
    }

    /// Starts a flush that finds every node on record in the opening of this tag, or fails.
    pub(crate) fn reading(tag: Tag, check: Check) -> Rc<Self> {
        Self::checked(Rc::new(RefCell::new(NullWriter(tag))), check)
    }

    /// Starts a trial: encoding a value restored from the opening of this tag then reads back what is in it, and
    /// appends nothing.
    pub(crate) fn on_trial(tag: Tag, trial: RoundTrip, check: Check) -> Rc<Self> {
        Rc::new(Self::of(Rc::new(RefCell::new(NullWriter(tag))), check, Some(trial)))
    }

    /// Starts a trial of a sample, whose transcript is to be compared.
    pub(crate) fn on_trial_of_sample(tag: Tag, check: Check, accuracy: Accuracy) -> Rc<Self> {
        let sink = Rc::new(RefCell::new(NullWriter(tag)));
        Rc::new(Self { accuracy, ..Self::of(sink, check, Some(RoundTrip::Sample)) })
    }

    /// Starts a trial that encodes items of the collection that is being flushed once more, and appends nothing.
    pub(crate) fn once_more(&self, trial: RoundTrip) -> Rc<Self> {
        let save = Self::on_trial(self.tag(), trial, self.check.again());
        save.item.set(self.item.get());
        save
    }

    /// Returns the memory of leaves that were encoded; `None` without debug assertions.
    #[inline]
    pub(crate) fn rechecks(&self) -> Option<&Arc<Rechecks>> {
        if RECHECKED { self.rechecks.as_ref() } else { None }
    }

    /// Flushes a collection; whether it is in no other one that is being flushed.
    pub(crate) fn flushing<T>(&self, flush: impl FnOnce(bool) -> Result<T>) -> Result<T> {
        let outer = self.flushing.replace(self.flushing.get() + 1);
        let result = flush(outer == 0);
        self.flushing.set(outer);
        result
    }

    /// The shape that the values written are checked against.
    #[inline(always)]
    pub(super) fn check(&self) -> &Check {
        &self.check
    }

    /// Takes the value that a trace of the type needs to see all of it, which was met and not written.
    pub(crate) fn take_sample(&self) -> Option<Vec<u8>> {
        self.sample.take()
    }

    pub(super) fn set_sample(&self, sample: Vec<u8>) {
        self.sample.replace(Some(sample));
    }

    /// Returns how many items of a leaf are looked at on trial.
    pub(crate) fn most_items(&self) -> usize {
        if self.accuracy == Accuracy::Brief { 4 } else { usize::MAX }
    }

    pub(super) fn accuracy(&self) -> Accuracy {
        self.accuracy
    }

    /// Looks at what stands in a field.
    pub(super) fn in_field<R>(&self, field: Slot, look: impl FnOnce() -> R) -> R {
        let outer = self.field.replace(field);
        let result = look();
        self.field.set(outer);
        result
    }

    /// Notes a value that stands in the field that is being looked at.
    pub(super) fn note_in_field(&self, value: &[u8]) {
        self.by_field.borrow_mut().entry(self.field.get()).or_default().push(value.to_vec());
    }

    /// Ends the trial; the values by fields, in the order in which they were met.
    pub(crate) fn take_by_field(&self) -> ByField {
        self.by_field.take()
    }

    /// Exchanges what was noted on a trial so far.
    pub(crate) fn swap_transcript(&self, with: Vec<u8>) -> Vec<u8> {
        self.transcript.replace(with)
    }

    /// Ends the flush; what it learned of the names under which things are written.
    pub(crate) fn into_learned(self: Rc<Self>) -> Option<(Seen, Vec<(Name, &'static str)>)> {
        Rc::into_inner(self).map(|save| save.check.into_parts())
    }

    /// How much is to be read back, if this is a trial.
    pub(crate) fn trial(&self) -> Option<&RoundTrip> {
        self.trial.as_ref()
    }

    /// The opening whose addresses this flush makes and trusts.
    pub(crate) fn tag(&self) -> Tag {
        self.sink.borrow().tag()
    }

    /// Whether the record at this address of the opening is there to stay (invariant 13).
    #[inline]
    pub(crate) fn trusts(&self, address: Address) -> bool {
        self.live_set.as_ref().is_none_or(|live_set| live_set.holds(address))
    }

    /// Returns whether that record will also do for a node that is in memory; see [`LiveSet::suffices`].
    #[inline]
    pub(crate) fn suffices(&self, address: Address) -> bool {
        self.live_set.as_ref().is_none_or(|live_set| live_set.suffices(address))
    }

    /// Appends one record; the errors are the log's.
    pub(crate) fn append(&self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address> {
        self.sink.borrow_mut().append(head, refs, payload)
    }

    /// Takes a pair of empty buffers, warm from an earlier record where there was one.
    pub(crate) fn buffers(&self) -> Buffers {
        self.pool.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives buffers back for the next record.
    pub(crate) fn recycle(&self, mut buffers: Buffers) {
        buffers.bytes.clear();
        buffers.refs.clear();
        self.pool.borrow_mut().push(buffers);
    }

    /// Appends `value` to `bytes`. Collections in it are flushed, their addresses appended to `refs`.
    ///
    /// # Errors
    ///
    /// `Error::Encode` where user code fails or uses a part of serde that cannot be read back; an error met while
    /// a nested collection was flushed, as it is. Both buffers are then as they were.
    ///
    /// # Panics
    ///
    /// Where user code does; both buffers may then hold a part of the value.
    #[inline]
    pub(crate) fn encode<T: Serialize + ?Sized>(
        self: &Rc<Self>,
        value: &T,
        bytes: &mut Vec<u8>,
        refs: &mut Vec<Address>,
    ) -> Result<()> {
        self.encode_portion(Portion::Item, value, bytes, refs)
    }

    /// Appends a portion of the collection that is being flushed. Otherwise as [`encode`](Self::encode).
    #[inline]
    pub(crate) fn encode_portion<T: Serialize + ?Sized>(
        self: &Rc<Self>,
        portion: Portion,
        value: &T,
        bytes: &mut Vec<u8>,
        refs: &mut Vec<Address>,
    ) -> Result<()> {
        let place = match (self.item.get(), portion) {
            (UNKNOWN, _) => UNKNOWN,
            (item, Portion::Item) => item,
            (item, Portion::Items) => item + ITEMS,
            (item, Portion::Keys) => item + KEYS,
        };
        if matches!(self.trial, Some(RoundTrip::Sample))
            || self.is_curious && !matches!(self.trial, Some(RoundTrip::Look(_)))
        {
            observe::look(self, place, value)?;
            if self.trial.is_some() {
                return Ok(());
            }
        }
        serializer::encode(self, place, value, bytes, refs)
    }

    #[inline]
    pub(super) fn depth(&self) -> u32 {
        self.depth.get()
    }
}

/// What passes between the codec and a collection.
enum Handoff {
    Idle,
    /// To the collection: flush yourself.
    Flush(Rc<FlushContext>),
    /// To the codec: this is what to write.
    Saved(Root),
    /// To the collection: restore yourself.
    Load(Root, Arc<dyn RecordReader>),
    /// To the codec: it failed.
    Failed(Error),
}

// Without a destructor, the variable is there as long as the thread runs: also while destructors of others do, which may
// checkpoint and restore. Nothing is left in it to be dropped: an exchange ends with an idle slot.
per_thread!(static SLOT: Cell<ManuallyDrop<Handoff>> = Cell::new(ManuallyDrop::new(Handoff::Idle)));

fn take_slot() -> Handoff {
    SLOT.with(|slot| ManuallyDrop::into_inner(slot.replace(ManuallyDrop::new(Handoff::Idle))))
}

fn put_slot(content: Handoff) {
    // What was there is dropped when the slot has its new content.
    drop(SLOT.with(|slot| ManuallyDrop::into_inner(slot.replace(ManuallyDrop::new(content)))));
}

/// Empties the slot when an exchange ends, however it ends.
struct Handover;

impl Handover {
    fn arm(slot: Handoff) -> Self {
        put_slot(slot);
        Self
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        put_slot(Handoff::Idle);
    }
}

/// How an exchange fails.
pub(super) enum HandoffError<E> {
    /// The collection met an error of ours.
    Raised(Error),
    /// The call itself failed.
    Call(E),
    /// A type uses a magic name and does not keep the protocol.
    Silent,
}

/// Lets the collection behind `call` flush itself into `save`.
pub(super) fn request_root<E>(
    save: &Rc<FlushContext>,
    depth: u32,
    item: Slot,
    call: impl FnOnce() -> Result<(), E>,
) -> Result<Root, HandoffError<E>> {
    let exchange = Handover::arm(Handoff::Flush(save.clone()));
    let outer = (save.depth.replace(depth), save.item.replace(item));
    let result = call();
    save.depth.set(outer.0);
    save.item.set(outer.1);
    let answer = take_slot();
    drop(exchange);
    match (answer, result) {
        (Handoff::Failed(error), _) => Err(HandoffError::Raised(error)),
        (_, Err(error)) => Err(HandoffError::Call(error)),
        (Handoff::Saved(root), Ok(())) => Ok(root),
        (_, Ok(())) => Err(HandoffError::Silent),
    }
}

/// Lets the collection behind `call` restore itself from `root`.
pub(super) fn offer_root<C, E>(
    root: Root,
    backing: &Arc<dyn RecordReader>,
    call: impl FnOnce() -> Result<C, E>,
) -> Result<C, HandoffError<E>> {
    let exchange = Handover::arm(Handoff::Load(root, backing.clone()));
    let result = call();
    let answer = take_slot();
    drop(exchange);
    match (answer, result) {
        (Handoff::Failed(error), _) => Err(HandoffError::Raised(error)),
        (_, Err(error)) => Err(HandoffError::Call(error)),
        (Handoff::Load(..), Ok(_)) => Err(HandoffError::Silent),
        (_, Ok(value)) => Ok(value),
    }
}

/// Serialises a collection: `flush` writes its nodes and returns the root where a flush asks for it, `plain` is
/// the map or sequence that every other format sees.
///
/// # Errors
///
/// Those of `serializer`. An error of `flush` comes out of [`FlushContext::encode`] unchanged.
pub(crate) fn serialize_collection<S: Serializer>(
    serializer: S,
    collection: Collection,
    flush: impl Fn(&Rc<FlushContext>) -> Result<Root>,
    plain: impl Serialize,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(collection.magic(), &Inner { flush, plain })
}

struct Inner<F, P> {
    flush: F,
    plain: P,
}

impl<F: Fn(&Rc<FlushContext>) -> Result<Root>, P: Serialize> Serialize for Inner<F, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Handoff::Flush(save) = take_slot() else { return self.plain.serialize(serializer) };
        match (self.flush)(&save) {
            Ok(root) => {
                put_slot(Handoff::Saved(root));
                serializer.serialize_unit()
            }
            Err(error) => {
                let text = ser::Error::custom(&error);
                put_slot(Handoff::Failed(error));
                Err(text)
            }
        }
    }
}

/// Deserialises a collection: `restore` makes it from a root, `plain` (which implements `visit_map` for maps,
/// `visit_seq` for the others) from what every other format holds.
///
/// # Errors
///
/// Those of `deserializer`. An error of `restore` comes out of [`decode`](super::decode) unchanged.
pub(crate) fn deserialize_collection<'de, D: Deserializer<'de>, C>(
    deserializer: D,
    collection: Collection,
    restore: impl FnOnce(Root, &Arc<dyn RecordReader>) -> Result<C>,
    plain: impl Visitor<'de, Value = C>,
) -> Result<C, D::Error> {
    deserializer.deserialize_newtype_struct(collection.magic(), Restore { collection, restore, plain })
}

struct Restore<F, V> {
    collection: Collection,
    restore: F,
    plain: V,
}

impl<'de, C, F, V> Visitor<'de> for Restore<F, V>
where
    F: FnOnce(Root, &Arc<dyn RecordReader>) -> Result<C>,
    V: Visitor<'de, Value = C>,
{
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain.expecting(f)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<C, D::Error> {
        let Handoff::Load(root, backing) = take_slot() else {
            return match self.collection.is_map() {
                true => deserializer.deserialize_map(self.plain),
                false => deserializer.deserialize_seq(self.plain),
            };
        };
        (self.restore)(root, &backing).map_err(|error| {
            let text = de::Error::custom(&error);
            put_slot(Handoff::Failed(error));
            text
        })
    }

    // Some deserializers skip the newtype and offer the contents at once.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<C, A::Error> {
        self.plain.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<C, A::Error> {
        self.plain.visit_seq(seq)
    }
}
