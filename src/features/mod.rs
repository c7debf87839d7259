//! What the collections offer other crates, each behind a feature of that crate's name, off by default. The features of the
//! crate itself are on [its page](crate#features).
//!
//! | feature | what it adds |
//! |---|---|
//! | `arbitrary` | `arbitrary::Arbitrary` for all collections: input of fuzz targets |
//! | `json` | conversions between [`Value`](crate::Value) and `serde_json::Value` |
//! | `proptest` | `proptest::arbitrary::Arbitrary` for all collections, and strategies with sizes of your choice |
//! | `rayon` | `par_iter`, `par_iter_mut`, `into_par_iter`, `par_extend` and collecting for all collections |

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "proptest")]
pub mod proptest;
#[cfg(feature = "rayon")]
pub mod rayon;
