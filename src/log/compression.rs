//! The codecs of blocks, with contexts that are used again and again.

use lz4_flex::block::CompressTable;

use self::zstandard::{ZstdContext, compress_zstd, decompress_zstd};
use super::options::Compression;
use crate::error::{Error, Result};

/// How the bytes of one block are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    /// As they are.
    Raw,
    /// As one LZ4 block.
    Lz4,
    /// As one Zstandard frame.
    Zstd,
}

impl Codec {
    /// The number that stands for it on disk.
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// Makes sure that this build can decompress what the codec made.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFeature`]: `what` needs it.
    #[inline]
    pub(crate) fn expect_feature(self, what: impl FnOnce() -> String) -> Result<()> {
        match self {
            Self::Zstd if !cfg!(feature = "zstd") => {
                Err(Error::MissingFeature { feature: "zstd", what: what() })
            }
            Self::Raw | Self::Lz4 | Self::Zstd => Ok(()),
        }
    }

    /// The codec that `byte` stands for.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Raw, Self::Lz4, Self::Zstd].into_iter().find(|codec| codec.to_byte() == byte)
    }
}

/// Compresses blocks with one codec, reusing its tables.
pub(crate) struct Compressor {
    context: Context,
    output: Vec<u8>,
}

enum Context {
    None,
    Lz4(Box<CompressTable>),
    Zstd(ZstdContext),
}

/// Makes sure that this build has a codec.
///
/// # Errors
///
/// [`Error::MissingFeature`] if it has not.
pub(crate) fn expect_codec(compression: Compression) -> Result<()> {
    let codec = match compression {
        Compression::None => Codec::Raw,
        Compression::Lz4 => Codec::Lz4,
        Compression::Zstd => Codec::Zstd,
    };
    codec.expect_feature(|| "the store was to be opened with `Compression::Zstd`".to_owned())
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> Self {
        let context = match compression {
            Compression::None => Context::None,
            Compression::Lz4 => Context::Lz4(Box::default()),
            // Its only failure is to be out of memory for the context; raw blocks are then correct.
            Compression::Zstd => zstandard::context().map_or(Context::None, Context::Zstd),
        };
        Self { context, output: Vec::new() }
    }

    /// Compresses `raw`, unless that saves less than an eighth.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> Option<(Codec, &[u8])> {
        let worthwhile_bytes = raw.len() - raw.len() / 8;
        let (codec, len) = match &mut self.context {
            Context::None => return None,
            Context::Lz4(table) => {
                // The safe encoder wants room for the worst case.
                self.output.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
                let len = lz4_flex::block::compress_into_with_table(raw, &mut self.output, table).ok()?;
                (Codec::Lz4, len)
            }
            Context::Zstd(compressor) => (Codec::Zstd, compress_zstd(compressor, raw, &mut self.output)?),
        };
        (len < worthwhile_bytes).then(|| (codec, &self.output[..len]))
    }
}

/// Decompresses `stored` into all of `raw`; false if it does not hold exactly that many bytes.
pub(crate) fn decompress(codec: Codec, stored: &[u8], raw: &mut [u8]) -> bool {
    match codec {
        Codec::Raw => {
            let same = stored.len() == raw.len();
            if same {
                raw.copy_from_slice(stored);
            }
            same
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(stored, raw).is_ok_and(|len| len == raw.len()),
        Codec::Zstd => decompress_zstd(stored, raw),
    }
}

#[cfg(feature = "zstd")]
mod zstandard {
    use std::cell::RefCell;

    use zstd::bulk::{Compressor, Decompressor};

    use crate::sync::per_thread;

    /// Zstandard's fastest level with its full match finder; higher ones belong to compaction.
    const LEVEL: i32 = 1;

    pub(super) type ZstdContext = Compressor<'static>;

    pub(super) fn context() -> Option<ZstdContext> {
        Compressor::new(LEVEL).ok()
    }

    /// Compresses `raw` to the beginning of `output`, and returns the length.
    pub(super) fn compress_zstd(
        context: &mut ZstdContext,
        raw: &[u8],
        output: &mut Vec<u8>,
    ) -> Option<usize> {
        output.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        context.compress_to_buffer(raw, &mut output[..]).ok()
    }

    pub(super) fn decompress_zstd(stored: &[u8], raw: &mut [u8]) -> bool {
        per_thread!(static ZSTD: RefCell<Option<Decompressor<'static>>> = RefCell::new(None));
        let mut decompress = |slot: &mut Option<Decompressor<'static>>| {
            if slot.is_none() {
                *slot = Decompressor::new().ok();
            }
            let Some(decompressor) = slot else { return false };
            decompressor.decompress_to_buffer(stored, raw).is_ok_and(|len| len == raw.len())
        };
        // Gone where the thread is ending, and a destructor of another variable reads.
        ZSTD.try_with(|slot| decompress(&mut slot.borrow_mut())).unwrap_or_else(|_| decompress(&mut None))
    }
}

/// What is left of Zstandard in a build without it. [`Codec::expect_feature`] is asked first, so nothing here is called.
#[cfg(not(feature = "zstd"))]
mod zstandard {
    pub(super) enum ZstdContext {}

    pub(super) fn context() -> Option<ZstdContext> {
        None
    }

    pub(super) fn compress_zstd(context: &mut ZstdContext, _: &[u8], _: &mut Vec<u8>) -> Option<usize> {
        match *context {}
    }

    pub(super) fn decompress_zstd(_: &[u8], _: &mut [u8]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_gives_back_what_it_took() {
        let raw: Vec<u8> = (0..70_000u32).map(|i| (i / 100) as u8).collect();
        let pairs = [(Compression::Lz4, Codec::Lz4), (Compression::Zstd, Codec::Zstd)];
        for (compression, codec) in pairs.into_iter().filter(|pair| expect_codec(pair.0).is_ok()) {
            let mut compressor = Compressor::new(compression);
            for len in [10, 1000, 70_000, 1000] {
                let Some((found, stored)) = compressor.compress(&raw[..len]) else {
                    assert_eq!(len, 10);
                    continue;
                };
                assert_eq!(found, codec);
                let mut back = vec![0; len];
                assert!(decompress(codec, stored, &mut back));
                assert_eq!(back, raw[..len]);
                assert!(!decompress(codec, stored, &mut vec![0; len - 1]));
                assert!(!decompress(codec, stored, &mut vec![0; len + 1]));
                assert!(!decompress(codec, &stored[..stored.len() - 1], &mut back));
            }
        }
    }

    #[test]
    fn what_does_not_shrink_stays_raw() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..8192)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            assert!(Compressor::new(compression).compress(&noise).is_none());
        }
        assert!(Compressor::new(Compression::None).compress(&[0; 8192]).is_none());
    }
}
