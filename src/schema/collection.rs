//! The kinds of collections, and the names by which serde's calls show them.

/// What the magic names begin with. No serde derive produces it: `$` is not part of a Rust name.
const PREFIX: &str = "$perennial::";

/// The collections that the codec recognises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Collection {
    HashMap,
    OrdMap,
    HashSet,
    OrdSet,
    Vector,
}

impl Collection {
    pub(crate) const ALL: [Self; 5] =
        [Self::HashMap, Self::OrdMap, Self::HashSet, Self::OrdSet, Self::Vector];

    /// The name under which the collection passes itself to a serializer.
    #[inline]
    pub(crate) const fn magic(self) -> &'static str {
        match self {
            Self::HashMap => "$perennial::HashMap",
            Self::OrdMap => "$perennial::OrdMap",
            Self::HashSet => "$perennial::HashSet",
            Self::OrdSet => "$perennial::OrdSet",
            Self::Vector => "$perennial::Vector",
        }
    }

    /// The collection's name, as shapes show it.
    pub(crate) fn name(self) -> &'static str {
        &self.magic()[PREFIX.len()..]
    }

    /// Whether other formats see a map, rather than a sequence.
    pub(crate) const fn is_map(self) -> bool {
        matches!(self, Self::HashMap | Self::OrdMap)
    }
}

/// Whether a newtype struct of this name is a collection. Folds to a constant where `name` is a literal.
#[inline(always)]
pub(crate) fn is_magic(name: &str) -> bool {
    name.len() > PREFIX.len() && name.as_bytes()[0] == b'$' && name.starts_with(PREFIX)
}
