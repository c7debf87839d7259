//! Mapping the values of a collection, and of its later versions only what changed.

use crate::error::Result;

/// A collection whose values can be mapped one by one: [`HashMap`](crate::HashMap), [`OrdMap`](crate::OrdMap),
/// [`Vector`](crate::Vector). See [`Migrator::map`](crate::store::Migrator::map).
pub trait MapValues: Clone + 'static {
    /// What is mapped: a key and its value, or an item.
    type Item<'a>;

    /// The collection of what the values are mapped to.
    type Mapped<W: Clone + 'static>: Clone + 'static;

    /// Maps the collection. Given an earlier version and what that was mapped to, what both versions hold is taken from
    /// there, nodes and all. **O(difference · log n)**.
    #[doc(hidden)]
    fn map_since<W: Clone + 'static>(
        &self,
        earlier: Option<(&Self, &Self::Mapped<W>)>,
        map: impl for<'a> FnMut(Self::Item<'a>) -> Result<W>,
    ) -> Result<Self::Mapped<W>>;
}
