//! The output is pinned, keys spread, and nobody makes keys that collide without the seed.

use std::collections::HashSet;
use std::hash::Hash;

use super::*;

#[cfg(feature = "store")]
#[test]
fn the_output_is_what_it_was_in_the_first_version() {
    let hasher = SeededState::former(1);
    let hashes = [
        hasher.hash_one(0u64),
        hasher.hash_one(1u64),
        hasher.hash_one("player"),
        hasher.hash_one((1u8, "x")),
    ];
    let golden = [
        17_715_230_588_130_889_699,
        6_875_538_241_270_723_837,
        4_569_166_663_379_979_447,
        8_041_443_667_144_672_919,
    ];
    assert_eq!(hashes, golden, "stored maps would be unreadable: name a new algorithm instead");
}

#[test]
fn the_output_is_what_it_was_since_then() {
    let hasher = SeededState::new(1);
    let text: String = ('a'..='z').cycle().take(300).collect();
    let mut hashes = vec![
        hasher.hash_one(0u64),
        hasher.hash_one(1u64),
        hasher.hash_one(1u128),
        hasher.hash_one((1u8, "x")),
    ];
    hashes.extend([0, 1, 3, 4, 8, 9, 16, 17, 64, 65, 128, 129, 300].map(|len| hasher.hash_one(&text[..len])));
    let digest = hashes.iter().fold(0, |digest: u64, hash| digest.rotate_left(5) ^ hash);
    assert_eq!(digest, GOLDEN_DIGEST, "stored maps would be unreadable: name a new algorithm instead");
}

const GOLDEN_DIGEST: u64 = 315_049_646_523_782_788;

#[test]
fn a_hasher_gives_its_seed_to_the_store_alone() {
    for seed in (0..1000).map(|n: u64| n.wrapping_mul(0x0123_4567_89ab_cdef) ^ n) {
        assert_eq!(SeededState::new(seed).seed(SeedAccess::OF_STORE), seed);
        assert_eq!(SeededState::former(seed).seed(SeedAccess::OF_STORE), seed);
        assert!(SeededState::new(seed) != SeededState::former(seed));
        assert!(!SeededState::new(seed).is_former() && SeededState::former(seed).is_former());
    }
    assert_eq!(SeededState::new(5).algorithm(), "fold64-2");
    assert_eq!(SeededState::former(5).algorithm(), "fold64-xxh3-1");
}

/// Everything that holds a seed, or borrows from what does, as `Debug` prints it.
fn printed(hasher: SeededState) -> Vec<String> {
    use crate::{HashMap, HashSet, History, State};
    let mut shown = Vec::new();
    macro_rules! show {
        ($($value:expr),+ $(,)?) => { $(match &$value { value => shown.push(format!("{value:?} {value:#?}")) })+ };
    }
    let mut map: HashMap<u8, u8> = HashMap::with_hasher(hasher);
    map.extend([(1, 2), (3, 4)]);
    let mut set: HashSet<u8> = HashSet::with_hasher(hasher);
    set.insert(1);
    let other = HashMap::with_hasher(hasher);
    show!(hasher, hasher.build_hasher(), map.hasher(), set.hasher(), map, set);
    show!(map.iter(), map.keys(), map.values(), map.try_iter().unwrap(), set.iter(), map.diff(&other));
    show!(map.clone().into_iter(), map.clone().into_keys(), map.clone().into_values(), map.clone().drain());
    show!(map.iter_mut(), map.values_mut(), map.entry(1), map.entry(9));
    show!(map.extract_if(|_, _| true), set.clone().into_iter());
    let state = State::new(map.clone());
    let mut history = History::new(crate::state::Depth::unbounded());
    history.record(&state);
    show!(state, state.snapshot(), history);
    shown
}

#[test]
fn debug_shows_no_seed() {
    let seed = 0x3b9a_ca07_1234_5678;
    for hasher in [SeededState::new(seed), SeededState::former(seed)] {
        let secrets = [seed, hasher.key, hasher.multiplier];
        let secrets = secrets.iter().filter(|&&secret| secret != FORMER_MULTIPLIER);
        for (shown, secret) in
            printed(hasher).iter().flat_map(|shown| secrets.clone().map(move |secret| (shown, secret)))
        {
            let plain = shown.replace('_', "").to_lowercase();
            for text in [format!("{secret}"), format!("{secret:x}"), format!("{:?}", secret.to_le_bytes())] {
                assert!(!plain.contains(&text), "{shown} shows {text}");
            }
        }
    }
}

#[test]
fn maps_of_one_process_have_one_seed() {
    let (one, two) = (SeededState::default(), SeededState::default());
    assert!(one == two && spreads(one.multiplier));
    assert!((0..100).map(|_| SeededState::draw().key).collect::<HashSet<_>>().len() == 100);
}

/// Number of keys, of 65,536, whose hashes have the most frequent high byte, or low byte.
fn most_in_one_place(hasher: SeededState, stride: u64) -> u32 {
    let mut places = [[0u32; 256]; 2];
    for key in 0..65_536u64 {
        let hash = hasher.hash_one(key * stride);
        places[0][(hash >> 56) as usize] += 1;
        places[1][(hash & 255) as usize] += 1;
    }
    places.into_iter().flatten().max().unwrap()
}

#[test]
fn consecutive_integers_spread_over_high_and_low_bits() {
    let former: Vec<u32> = (0..16).map(|seed| most_in_one_place(SeededState::former(seed), 1)).collect();
    assert!(former.iter().all(|most| *most <= 512), "{former:?}");
    let drawn: Vec<SeededState> =
        (0..60).map(SeededState::new).filter(|hasher| spreads(hasher.multiplier)).collect();
    assert!((30..55).contains(&drawn.len()), "{}", drawn.len());
    // 256 on average. What is 16 or 2^32 apart is not what `spreads` looks at.
    for (stride, most) in [(1, 512), (16, 2048), (1000, 1024), (1 << 32, 2048)] {
        let found: Vec<u32> = drawn.iter().map(|&hasher| most_in_one_place(hasher, stride)).collect();
        assert!(found.iter().all(|&found| found <= most), "stride {stride}: {found:?}");
    }
}

#[test]
fn every_bit_of_every_kind_of_key_counts() {
    fn all_differ<K: Hash>(what: &str, keys: impl IntoIterator<Item = K>) {
        let hasher = SeededState::new(3);
        let mut seen = HashSet::new();
        assert!(keys.into_iter().all(|key| seen.insert(hasher.hash_one(key))), "{what} collide");
    }
    all_differ("bits", (0..64).map(|bit| 1u64 << bit).chain([0]));
    all_differ("pairs", (0..64).flat_map(|one| (0..64).map(move |two| (1u64 << one, 1u64 << two))));
    all_differ("wide integers", (0..128).flat_map(|one| (0..one).map(move |two| 1u128 << one | 1 << two)));
    for len in 0..200 {
        let text = vec![b'a'; len];
        all_differ(
            "texts that differ in a bit",
            (0..len * 8).map(|bit| {
                let mut text = text.clone();
                text[bit / 8] ^= 1 << (bit % 8);
                text
            }),
        );
    }
    all_differ("texts of every length", (0..600).map(|len| "a".repeat(len)));
    all_differ("zeros of every length", (0..600).map(|len| vec![0u8; len]));
    // The lengths that share a way through the words: a text whose words are those of a shorter one.
    all_differ(
        "overlapping words",
        (9..17).map(|len| {
            let mut text = vec![7u8; len];
            text[len - 1] = 7;
            text
        }),
    );
    all_differ("parts", [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")]);
    all_differ("nested", [vec![vec![1u8], vec![]], vec![vec![], vec![1]], vec![vec![1]], vec![]]);
}

/// Words of the secret that XXH3 uses where none is given, from the first. It adds the seed to those of even numbers, and
/// subtracts it from the others.
const XXH3_SECRET: [u64; 14] = [
    0xbe4b_a423_396c_feb8,
    0x1cad_21f7_2c81_017c,
    0xdb97_9083_e96d_d4de,
    0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82,
    0x8e24_43f7_7446_08b8,
    0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c,
    0xa32e_531b_8b65_d088,
    0x4ef9_0da2_9748_6471,
    0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8,
    0x1d4f_0bc7_c7bb_dcf9,
];

fn any_seed(number: u64) -> u64 {
    mixed(number)
}

/// Texts that XXH3 hashes alike for many seeds. Of each 8-byte lane of a stripe it adds up the lane, and the product of the
/// halves of the lane's exclusive or with a word of the secret. The same seed was added to two words, so for many seeds
/// they differ by the same bits. Two lanes that differ by these bits in their lower halves have equal factors there; turning
/// the top bits of both then adds to one product what it takes from the other, and adds nothing to the sum of the lanes.
fn texts_that_collide() -> [Vec<u8>; 2] {
    const TOP: u64 = 1 << 63;
    const LOWER: u64 = u32::MAX as u64;
    let differences = |one: usize, two: usize| {
        let mut found = std::collections::HashMap::new();
        for seed in (0..4000).map(any_seed) {
            let [one, two] = [one, two].map(|at| match at % 2 {
                0 => XXH3_SECRET[at].wrapping_add(seed),
                _ => XXH3_SECRET[at].wrapping_sub(seed),
            });
            *found.entry((one ^ two) & (TOP | LOWER)).or_insert(0) += 1;
        }
        found.into_iter().max_by_key(|&(_, count)| count).unwrap()
    };
    // Stripe n takes word n + l for lane l.
    let pairs = (0..7).flat_map(|one| (one + 2..7).step_by(2).map(move |two| (one, two)));
    let places = pairs.flat_map(|(one, two)| (0..8).map(move |lane| (one, two, lane)));
    let best = places.map(|place| (place, differences(place.0 + place.2, place.1 + place.2)));
    let ((one, two, lane), (bits, _)) = best.max_by_key(|&(_, (_, count))| count).unwrap();
    let text = |left: u64, right: u64| {
        let mut text = vec![b'x'; 512];
        for (stripe, word) in [(one, left), (two, right)] {
            text[stripe * 64 + lane * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        text
    };
    let left = 0x6162_6364_6566_6768;
    let right = left ^ bits ^ TOP;
    [text(left, right), text(left ^ TOP, right ^ TOP)]
}

#[cfg(feature = "store")]
#[test]
fn nobody_makes_texts_that_collide_without_the_seed() {
    let [one, two] = texts_that_collide();
    assert_ne!(one, two);
    let hash = |state: SeededState, text: &[u8]| {
        let mut hasher = state.build_hasher();
        hasher.write(text);
        hasher.finish()
    };
    let seeds = || (0..100_000).map(|number| any_seed(number + 1_000_000));
    let colliding = |of: fn(u64) -> SeededState| {
        seeds().filter(|&seed| hash(of(seed), &one) == hash(of(seed), &two)).count()
    };
    let (former, present) = (colliding(SeededState::former), colliding(SeededState::new));
    assert!(
        former > 100,
        "the construction finds the weakness of the former algorithm: {former} of 100,000 seeds"
    );
    assert_eq!(present, 0, "of 100,000 seeds");
}

#[test]
fn nobody_makes_integers_or_pairs_that_collide_without_the_seed() {
    // With the former algorithm one seed told how to cancel the first half by the second, for that seed alone; what
    // collided for it must not do so for others, nor anything built on the shape of the multiplication.
    let known = SeededState::new(99);
    let partner = |first: u64, other: u64| known.hash_one(first) ^ known.hash_one(other);
    for seed in (0..100_000).map(any_seed) {
        let hasher = SeededState::new(seed);
        let (first, other) = (seed.rotate_left(7) % 1000, 1000 + seed % 1000);
        let (one, two) = ((first, 5u64), (other, 5u64 ^ partner(first, other)));
        assert_ne!(hasher.hash_one(one), hasher.hash_one(two), "pairs, seed {seed}");
        let [one, two] = [one, two].map(|(low, high)| u128::from(low) | u128::from(high) << 64);
        assert_ne!(hasher.hash_one(one), hasher.hash_one(two), "wide integers, seed {seed}");
        let integers = [0, 1, u64::MAX, 1 << 63, 1 << 32, 1 << 31, GOLDEN_RATIO, FORMER_MULTIPLIER];
        let hashes: HashSet<u64> = integers.map(|integer| hasher.hash_one(integer)).into();
        assert_eq!(hashes.len(), integers.len(), "integers, seed {seed}");
    }
    // For the one seed they do collide: who knows it can do as he likes.
    assert_eq!(known.hash_one((1u64, 5u64)), known.hash_one((2u64, 5u64 ^ partner(1, 2))));
}
