//! Thinning against the rules applied to whole lists, and both against clocks that were never wrong.

use std::time::Duration;

use proptest::prelude::*;

use super::super::clock::{IN_USE, Nanos, Reading};
use super::super::{every, every_nth, keep_last, keep_within, pinned};
use super::*;

const MINUTE: Nanos = 60 * 1_000_000_000;

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn policies() -> impl Strategy<Value = Retention> {
    let one = prop_oneof![
        (0u64..20).prop_map(keep_last),
        (60u64..500).prop_map(|m| keep_within(minutes(m))),
        (0u64..100, 0u64..2000).prop_map(|(i, r)| every(minutes(i)).for_last(minutes(r))),
        (0u64..20).prop_map(every_nth),
        Just(pinned(["name"])),
    ];
    prop::collection::vec(one, 1..4).prop_map(|all| all.into_iter().reduce(|a, b| a | b).unwrap())
}

/// The versions of a store that was written at `true_times` by a clock that showed `times`: each knows its time in use.
fn versions(times: &[Nanos]) -> Vec<Version> {
    let mut in_use = times.first().copied().unwrap_or(0);
    let mut before = in_use;
    let version = |(number, &time): (usize, &Nanos)| {
        in_use += (time - before).clamp(0, IN_USE);
        before = time;
        let reading = Reading { time, in_use: Some(in_use) };
        Version { number: number as u64, reading, name: None, contents: None }
    };
    times.iter().enumerate().map(version).collect()
}

/// The numbers of what is kept after each version came.
fn thinned(policy: &Retention, versions: &[Version]) -> Vec<u64> {
    let mut thinning = Thinning::new(policy);
    for version in versions {
        let next = thinning.next(version.number, version.clone());
        assert!(next.dropped.is_sorted());
        thinning.apply(next);
    }
    thinning.entries.into_keys().collect()
}

/// The same, by applying the policy to what is left after each version.
fn kept_step_by_step(policy: &Retention, versions: &[Version]) -> Vec<u64> {
    let mut left: Vec<Version> = Vec::new();
    for version in versions {
        left.push(version.clone());
        let kept = policy.kept_of(&left);
        let mut kept = kept.iter();
        left.retain(|_| *kept.next().unwrap());
    }
    left.iter().map(|version| version.number).collect()
}

fn kept(policy: &Retention, versions: &[Version]) -> Vec<u64> {
    let kept = policy.kept_of(versions);
    versions.iter().zip(kept).filter(|(_, kept)| *kept).map(|(version, _)| version.number).collect()
}

/// The versions that `keep_within(reach)` would keep by clocks that are right.
fn within(times: &[Nanos], reach: Nanos) -> Vec<u64> {
    let newest = times[times.len() - 1];
    (0..times.len() as u64).filter(|&n| times[n as usize] >= newest - reach).collect()
}

fn is_subset(one: &[u64], other: &[u64]) -> bool {
    one.iter().all(|n| other.contains(n))
}

#[test]
fn versions_that_repeat_one_another_count_once() {
    let version = |number, contents, name: Option<&str>| Version {
        number,
        reading: Reading { time: Nanos::from(number) * MINUTE, in_use: None },
        name: name.map(Into::into),
        contents: Some(contents),
    };
    let policy = keep_last(3);
    // Five versions, and what was last is written again and again.
    let mut all: Vec<_> = (0..5).map(|n| version(n, n, None)).collect();
    all.extend((5..25).map(|n| version(n, 4, None)));
    assert_eq!(kept(&policy, &all), [2, 3, 24]);
    assert_eq!(thinned(&policy, &all), [2, 3, 24]);
    // One under a name of its own is not pushed out by those that repeat it, nor does a name repeat.
    all.push(version(25, 4, Some("named")));
    all.extend((26..29).map(|n| version(n, 4, None)));
    assert_eq!(kept(&policy, &all), [3, 24, 25, 28]);
    assert_eq!(thinned(&policy, &all), [3, 24, 25, 28]);
    all.push(version(29, 5, None));
    assert_eq!(kept(&policy, &all), [24, 25, 29]);
    assert_eq!(thinned(&policy, &all), [24, 25, 29]);
}

#[test]
fn a_machine_that_begins_in_1970_at_each_start_keeps_one_an_hour_of_use() {
    // 200 starts of ten minutes, a version each minute; applied afresh after each start, as by whoever opens it.
    let times: Vec<_> = (0..2000).map(|n| n % 10 * MINUTE + n).collect();
    let all = versions(&times);
    let policy = every(minutes(60)).for_last(minutes(60 * 24));
    for left in [thinned(&policy, &all), kept_step_by_step(&policy, &all)] {
        // A start is nine minutes of use: 24 hours are 160 starts.
        assert!((20..=28).contains(&left.len()), "{left:?}");
        let gaps: Vec<_> = left.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|&gap| gap <= 140), "{left:?}");
    }
}

#[test]
fn so_many_are_dropped_at_once_and_the_rest_with_the_next() {
    let times: Vec<_> = (0..100_000).collect();
    let policy = keep_within(minutes(60));
    let mut thinning = Thinning::new(&policy);
    for version in versions(&times) {
        let next = thinning.next(version.number, version);
        assert!(next.dropped.is_empty());
        thinning.apply(next);
    }
    let late = |n: u64| Version { number: n, ..versions(&[Nanos::from(n) * 60 * MINUTE])[0].clone() };
    let mut dropped = Vec::new();
    for n in 100_000..100_007 {
        let next = thinning.next(n, late(n));
        dropped.push(next.dropped.len());
        thinning.apply(next);
    }
    assert_eq!(dropped.iter().max(), Some(&MAX_DROPPED));
    assert!(thinning.entries.len() < 10, "{dropped:?}");
}

#[test]
fn what_is_forgotten_leaves_the_windows_right() {
    let policy = keep_last(5) | every_nth(10);
    let mut thinning = Thinning::new(&policy);
    let mut all = versions(&(0..60).map(|n| n * MINUTE).collect::<Vec<_>>());
    let rest = all.split_off(50);
    for version in all {
        let next = thinning.next(version.number, version);
        thinning.apply(next);
    }
    thinning.forget(|id| id % 2 == 0);
    assert_eq!(thinning.entries.keys().copied().collect::<Vec<_>>(), [0, 10, 20, 30, 40, 46, 48]);
    for version in rest {
        let next = thinning.next(version.number, version);
        thinning.apply(next);
    }
    assert_eq!(
        thinning.entries.keys().copied().collect::<Vec<_>>(),
        [0, 10, 20, 30, 40, 50, 55, 56, 57, 58, 59]
    );
}

const REACH: Nanos = 400 * MINUTE;

/// Each fault: the first version, how many, how many minutes their clock is off.
fn check_wrong_clocks(
    gaps: &[u64],
    faults: &[(usize, usize, i64)],
    room: impl Fn(Nanos) -> Nanos,
) -> Result<(), TestCaseError> {
    let mut time = 28_000_000 * MINUTE;
    let step = |gap: &u64| {
        time += Nanos::from(*gap) * MINUTE;
        time
    };
    let true_times: Vec<Nanos> = gaps.iter().map(step).collect();
    let mut times = true_times.clone();
    let mut wrong = vec![false; times.len()];
    let mut runs = 0;
    for &(at, len, offset) in faults {
        let (from, to) = (at.min(times.len()), (at + len).min(times.len()));
        // Right before and after.
        if !wrong[from.saturating_sub(1)..(to + 1).min(times.len())].contains(&true) {
            runs += 1;
            for n in from..to {
                (times[n], wrong[n]) = (times[n] + Nanos::from(offset) * MINUTE, true);
            }
        }
    }
    // Each time the clock is set, a minute may count as time in use, and the pause between the two versions is not known.
    let room = room(runs) + (1 + 2 * runs) * MINUTE + 2 * 20 * MINUTE;
    let policy = keep_within(minutes(400));
    for len in [times.len() / 2, times.len() - 1, times.len()] {
        let all = versions(&times[..len]);
        let true_times = &true_times[..len];
        for found in [thinned(&policy, &all), kept(&policy, &all), kept_step_by_step(&policy, &all)] {
            // Versions of a wrong clock themselves, where none of the right one before them is left to compare with.
            let limit = |n: usize, by: Nanos| if wrong[n] { by + REACH / 4 } else { by };
            let newest = true_times[len - 1];
            let is_within = |n: usize, reach: Nanos| true_times[n] >= newest - reach;
            let least = (0..len).filter(|&n| is_within(n, REACH - limit(n, room))).map(|n| n as u64);
            let most = (0..len).filter(|&n| is_within(n, REACH + limit(n, room))).map(|n| n as u64);
            let (least, most): (Vec<u64>, Vec<u64>) = (least.collect(), most.collect());
            prop_assert!(is_subset(&least, &found), "{found:?} is without some of {least:?}");
            prop_assert!(is_subset(&found, &most), "{found:?} has more than {most:?}");
            let is_right = !wrong[..len].contains(&true);
            prop_assert!(!is_right || found == within(true_times, REACH), "{found:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn thinning_keeps_what_the_policy_keeps_of_all(
        policy in policies(),
        // None is beyond the bound of a rule.
        all in prop::collection::vec((0u64..15, 0u64..8), 1..300),
    ) {
        let mut time = 0;
        let times: Vec<_> = all.iter().map(|(gap, _)| { time += Nanos::from(*gap) * MINUTE; time }).collect();
        let mut all_versions = versions(&times);
        for (version, (_, name)) in all_versions.iter_mut().zip(&all) {
            version.name = (*name == 0).then(|| "name".into());
        }
        prop_assert_eq!(&thinned(&policy, &all_versions), &kept(&policy, &all_versions));
        prop_assert_eq!(thinned(&policy, &all_versions), kept_step_by_step(&policy, &all_versions));
    }

    #[test]
    fn repeated_versions_never_push_others_out(
        count in 1u64..6,
        all in prop::collection::vec(0u64..3, 1..60),
    ) {
        let times: Vec<_> = (0..all.len() as Nanos).map(|n| n * MINUTE).collect();
        let mut all_versions = versions(&times);
        for (version, contents) in all_versions.iter_mut().zip(&all) {
            version.contents = Some(*contents);
        }
        let mut distinct = all.clone();
        distinct.dedup();
        let found = thinned(&keep_last(count), &all_versions);
        let found: Vec<_> = found.iter().map(|&n| all[n as usize]).collect();
        prop_assert_eq!(&found[..], &distinct[distinct.len().saturating_sub(count as usize)..]);
    }

    /// Wrong clocks, each for a run of versions, right ones between them: what is kept differs from what right clocks
    /// would keep by the bound for each of them.
    #[test]
    fn wrong_clocks_cost_at_most_the_bound_each(
        gaps in prop::collection::vec(1u64..20, 60..200),
        faults in prop::collection::vec((0usize..150, 1usize..30, -6_000_000i64..6_000_000), 0..3),
    ) {
        let room = |runs| runs * REACH / 4;
        check_wrong_clocks(&gaps, &faults, room)?;
    }

    /// The same of many that are far off: they do not add up.
    #[test]
    fn wrong_clocks_that_come_and_go_cost_the_bound_together(
        gaps in prop::collection::vec(1u64..20, 100..300),
        faults in prop::collection::vec(
            (1usize..300, 1usize..20, prop_oneof![-6_000_000i64..-10_000, 10_000i64..6_000_000]),
            1..8,
        ),
    ) {
        check_wrong_clocks(&gaps, &faults, |_| REACH / 4)?;
    }

    /// The same of one an interval: no gap is longer than two intervals and the bound.
    #[test]
    fn wrong_clocks_leave_no_holes_in_one_an_interval(
        gaps in prop::collection::vec(1u64..10, 100..300),
        at in 0usize..300,
        len in 1usize..100,
        offset in -6_000_000i64..6_000_000,
    ) {
        let (interval, reach) = (60 * MINUTE, 1200 * MINUTE);
        let mut time = 28_000_000 * MINUTE;
        let true_times: Vec<Nanos> = gaps.iter().map(|gap| { time += Nanos::from(*gap) * MINUTE; time }).collect();
        let mut times = true_times.clone();
        for time in times.iter_mut().skip(at).take(len) {
            *time += Nanos::from(offset) * MINUTE;
        }
        let policy = every(minutes(60)).for_last(minutes(1200));
        let all = versions(&times);
        let newest = true_times[true_times.len() - 1];
        let oldest = true_times[0].max(newest - (reach - reach / 4 - 3 * MINUTE)) + 2 * interval;
        for found in [thinned(&policy, &all), kept_step_by_step(&policy, &all)] {
            let found: Vec<_> = found.iter().map(|&n| true_times[n as usize]).collect();
            prop_assert!(found[0] <= oldest.max(true_times[0]), "{} minutes", (newest - found[0]) / MINUTE);
            let widest = found.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            prop_assert!(widest <= 3 * interval, "{} minutes", widest / MINUTE);
            prop_assert!(found.len() as Nanos <= 2 * (reach / interval) + 5, "{} are kept", found.len());
        }
    }
}
