//! How deep the store is: which checkpoints it keeps, and giving back the space of the others.

use std::sync::Arc;

use super::Store;
use super::checkpoint::CheckpointId;
use crate::error::{Error, Result};
use crate::log::aging;
use crate::log::commit::Commit;
use crate::log::gc::compaction::CompactionReport;
use crate::log::gc::throttle::Pace;
use crate::log::kept_commits::KeptCommits;
use crate::log::manifest::CommitRef;
use crate::log::reader::LogReader;
use crate::log::{Commits, Log};
use crate::retention::{Retention, Thinning};
use crate::weaken;

/// What applying a [`Retention`] did, or would do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetentionReport {
    /// The checkpoints that are kept, the newest first.
    pub kept: Vec<CheckpointId>,
    /// Those that are not, the newest first.
    pub dropped: Vec<CheckpointId>,
}

impl Store {
    /// Drops the checkpoints that a policy does not keep. **O(checkpoints)**, and one replacement of the manifest.
    ///
    /// Durable on return. A dropped checkpoint cannot be restored any more. Its space is given back by
    /// [`compact`](Self::compact); what a state in memory that was restored from it has not loaded yet stays until that
    /// state is gone. The newest checkpoint is always kept.
    ///
    /// ```
    /// use perennial::{HashMap, retention::keep_last, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let mut state = HashMap::new();
    /// for turn in 0..10 {
    ///     state.insert(turn, "played");
    /// #   let state: HashMap<i32, String> = state.iter().map(|(k, v)| (*k, v.to_string())).collect();
    ///     store.checkpoint(&state)?;
    /// }
    /// assert_eq!(store.would_retain(&keep_last(3))?.dropped.len(), 7);
    /// let retained = store.retain(&keep_last(3))?;
    /// assert_eq!((retained.kept.len(), store.checkpoints().count()), (3, 3));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] if the store cannot be written; [`Error::Io`] if
    /// the system refuses, which poisons it; [`Error::Corrupt`] if a checkpoint cannot be read.
    pub fn retain(&self, policy: &Retention) -> Result<RetentionReport> {
        self.log.retain(policy)
    }

    /// Tells what [`retain`](Self::retain) would do, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] if a checkpoint cannot be read.
    pub fn would_retain(&self, policy: &Retention) -> Result<RetentionReport> {
        Ok(self.log.plan(policy)?.outcome())
    }

    /// Gives back the space of what no checkpoint reaches, as far as that is worth while: segments of which less is in
    /// use than the store's options say ([`compact_below`](super::Options::compact_below)) are rewritten. Nodes that stand upon
    /// records which nothing else needs are written in full, so that reading one afterwards takes one record.
    ///
    /// Checkpoints and reads go on meanwhile; a checkpoint may wait for one sync and one replacement of the manifest.
    /// Takes at most the space of about a segment and of what it moves beside the store. **O(state + what the kept checkpoints
    /// changed)**. One compaction runs at a time, another one waits.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something that is in use cannot be read;
    /// [`Error::Io`] if the system refuses, which poisons the store only if it was the manifest that
    /// could not be replaced; [`Error::Poisoned`].
    pub fn compact(&self) -> Result<CompactionReport> {
        self.log.compact(self.options.compact_below, Pace::free())
    }
}

/// What a policy says of the commits there are.
pub(crate) struct Plan {
    /// Number of times that the list of kept checkpoints had been replaced when these were listed.
    changes: u64,
    /// Ascending by id.
    commits: Vec<Commit>,
    kept: Vec<bool>,
}

impl Plan {
    fn outcome(&self) -> RetentionReport {
        let ids = |wanted: bool| {
            let chosen = self.commits.iter().zip(&self.kept).rev().filter(|(_, kept)| **kept == wanted);
            chosen.map(|(commit, _)| CheckpointId(commit.id)).collect()
        };
        RetentionReport { kept: ids(true), dropped: ids(false) }
    }

    fn dropped(&self) -> Vec<u64> {
        let dropped = self.commits.iter().zip(&self.kept).filter(|(_, kept)| !**kept);
        dropped.map(|(commit, _)| commit.id).collect()
    }

    /// The checkpoints kept afterwards.
    fn kept_commits(&self, before: &KeptCommits) -> KeptCommits {
        let floor = self.commits.last().map_or(0, |newest| newest.id);
        if before.is_complete() {
            let mut kept_commits = before.clone();
            kept_commits.remove(floor, &self.dropped());
            return kept_commits;
        }
        let kept = self.commits.iter().zip(&self.kept).filter(|(_, kept)| **kept);
        KeptCommits::up_to(
            floor,
            kept.map(|(commit, _)| CommitRef { id: commit.id, address: commit.address }),
        )
    }
}

impl Log {
    /// Asks a policy about all commits.
    pub(crate) fn plan(&self, policy: &Retention) -> Result<Plan> {
        self.plan_by(|commits| {
            let versions: Vec<_> = commits.iter().map(aging::version_of).collect();
            policy.kept_of(&versions)
        })
    }

    /// Lists all commits, and those of them that are to stay.
    fn plan_by(&self, keep: impl Fn(&[Commit]) -> Vec<bool>) -> Result<Plan> {
        let changes = self.opening().pin_table().changes;
        let mut commits = self.commits().collect::<Result<Vec<_>>>()?;
        commits.reverse();
        let mut kept = keep(&commits);
        if weaken::canary("kept_dropped")
            && let Some(first) = kept.iter().position(|kept| *kept)
        {
            kept[first] = false;
        }
        Ok(Plan { changes, commits, kept })
    }

    /// Drops the commits that a policy does not keep.
    pub(crate) fn retain(&self, policy: &Retention) -> Result<RetentionReport> {
        self.apply(|| self.plan(policy))
    }

    /// Drops one commit.
    pub(crate) fn delete(&self, id: u64) -> Result<()> {
        let without = |commits: &[Commit]| commits.iter().map(|commit| commit.id != id).collect();
        let report = self.apply(|| {
            if self.latest().is_some_and(|newest| newest.id == id) {
                let what = format!(
                    "checkpoint {id} is the newest one, which every store keeps; write another one, and then delete it"
                );
                return Err(Error::Refused { what });
            }
            self.plan_by(without)
        })?;
        match report.dropped[..] {
            [] => Err(Error::UnknownCheckpoint { id: id.into() }),
            _ => Ok(()),
        }
    }

    fn apply(&self, plan: impl Fn() -> Result<Plan>) -> Result<RetentionReport> {
        loop {
            // Planned while others commit: what they commit meanwhile lies above the floor and is kept.
            let plan = plan()?;
            let mut writer = self.writer()?;
            if plan.kept.iter().all(|kept| *kept) {
                return Ok(plan.outcome());
            }
            let pin_table = self.opening().pin_table();
            let kept_commits =
                (pin_table.changes == plan.changes).then(|| plan.kept_commits(&pin_table.kept_commits));
            drop(pin_table);
            if let Some(kept_commits) = kept_commits {
                writer.set_kept_commits(kept_commits)?;
                return Ok(plan.outcome());
            }
        }
    }

    /// Applies a policy to the commits that are there, of which the opening then shows those that are kept; what goes
    /// on applying it. `None`: it keeps everything, or a commit cannot be read, and it cannot be asked.
    ///
    /// Nothing is written: what is dropped is so durably when the next manifest is. With it, whether something is.
    pub(crate) fn begin_thinning(opening: &Arc<LogReader>, policy: &Retention) -> (Option<Thinning>, bool) {
        let commits =
            if policy.keeps_all() { None } else { Commits::of(opening).collect::<Result<Vec<_>>>().ok() };
        let Some(commits) = commits else { return (None, false) };
        let mut thinning = Thinning::new(policy);
        let mut dropped = Vec::new();
        for commit in commits.iter().rev() {
            let next = thinning.next(commit.id, aging::version_of(commit));
            dropped.extend_from_slice(&next.dropped);
            thinning.apply(next);
        }
        let listed = commits.iter().map(|commit| CommitRef { id: commit.id, address: commit.address });
        let mut kept_commits = KeptCommits::complete(opening.pin_table().kept_commits.floor(), listed);
        kept_commits.remove(commits.first().map_or(0, |newest| newest.id), &dropped);
        opening.set_kept_commits(kept_commits);
        (Some(thinning), !dropped.is_empty())
    }
}
