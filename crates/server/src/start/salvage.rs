//! What only one server had when the log was opened without it: its turns are decided again, as if those who have said
//! something said it again.
//!
//! Ids and counters make it safe: what is in the log is there once, and what does not fit any more is left out. Then the
//! device of who has said it brings it again when somebody notices the gap.

mod parting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_protocol::{frame::RawFrame, handshake::Purpose, header::Header, id::Digest};
use thiserror::Error;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    budgets::AccountBudgets,
    clock::Clock,
    connection::ConnectionId,
    limits::SALVAGE_BYTES,
    order::{
        Guarded, Records, Turn, Turns, Unkept,
        batch::{BatchError, Seal},
        opening::line::{Line, forked_behind},
        words::WordSeal,
    },
    outbox::{OutboxLimits, bounded},
    request::{EpochUpload, FrameRequest, Heard, Peer},
    router::{Decision, Pending, Router},
    store::{
        CommitError, CopyChange, Facts, NewAccount, OpenError, Proposal, Stored, Written,
        sqlite::{self, Lost},
    },
};

use super::take_over;
use parting::{Part, Parting, parted, parted_by_openings};

/// How often something is decided again that others have overtaken. Each time it is decided on all that came before, so only
/// a log in which somebody changes accounts and keys all the time comes to this.
const DECISIONS_MAX: usize = 1_024;

/// Turns that are named where they are missing: parts of them, at most.
const PARTS_NAMED_MAX: usize = 8;

/// Why what only a folder has is not taken up, or not all of it. It can be begun again: what is in the log by then is known.
#[derive(Debug, Error)]
pub enum SalvageError {
    /// The folder cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It does not have all of it any more.
    #[error(
        "--salvage: {folder} has turns {first} to {last} that the log was opened without, and not as they were said: {missing} \
         were removed from there, because every server had them that was heard of within a day. Nothing was taken up. Start \
         this server without --salvage: devices bring again what somebody notices is missing. Keep that folder"
    )]
    Gap {
        /// The folder.
        folder: String,
        /// The first turn that the log does not have.
        first: u64,
        /// The last one that the folder has.
        last: u64,
        /// Those whose bytes are not there.
        missing: String,
    },
    /// It has something that this release cannot read.
    #[error(
        "--salvage: turn {turn} in {folder} cannot be read here: {error}. Nothing was taken up. Start this server without \
         --salvage: devices bring again what somebody notices is missing. Keep that folder"
    )]
    Unread {
        /// The folder.
        folder: String,
        /// The turn.
        turn: u64,
        /// Why.
        error: BatchError,
    },
    /// Redis has no room.
    #[error(
        "--salvage: Redis has no room for what is in the folder: raise its maxmemory, and start this server again in the same \
         way; {0} records were taken up"
    )]
    Full(u64),
    /// Others change accounts and keys all the time.
    #[error(
        "--salvage: other servers were always faster; start this one again in the same way when there is less to do; {0} \
         records were taken up"
    )]
    Overtaken(u64),
    /// It cannot be kept.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl SalvageError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(_) | Self::Commit(_) => 70,
            Self::Gap { .. } | Self::Unread { .. } | Self::Full(_) | Self::Overtaken(_) => 1,
        }
    }
}

/// A folder of this log.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: PathBuf,
    pub(super) log: [u8; 16],
    pub(super) seal: Seal,
    pub(super) words: WordSeal,
}

impl Source {
    /// What the log may lack that the database in `data` follows; nothing where it has everything.
    fn part(&self, data: &Path) -> Result<Option<Part>, OpenError> {
        let noted = |folder: &Path| sqlite::noted(folder).map(Option::unwrap_or_default);
        let line = |facts: &Facts| Line::noted(facts, &self.words);
        let (there, own) = (line(&noted(data)?.facts), noted(&self.folder)?);
        let (here, mine) = (sqlite::chains(data)?, sqlite::chains(&self.folder)?);
        let parting_of = |line: &Line, copy: (u64, u64)| {
            let by_openings = parted_by_openings((&there, line), copy, &mine);
            parted((&here, &mine), copy.0, by_openings)
        };
        let Lost { applied, read_from } = sqlite::followed_to(&self.folder, self.log)?;
        let (now, copy) = (line(&own.facts), (applied, read_from));
        let unsure = own.unsure.and_then(|was| {
            let parting = parting_of(&line(&was.openings), (was.turn, was.read_from))?;
            // What it has read since is of the log, if that has not lost it.
            let is_of_log = !there.is_unsure_of(&now, copy)
                && forked_behind(&there, &now, copy, |_| None).is_none();
            Some((parting, if is_of_log { was.turn } else { applied }))
        });
        let kept = sqlite::kept_since(&self.folder)?;
        // A server of before has kept nothing when it read on: what it had is of generations of which nobody knows.
        let of_before = || {
            let chain_at = |turn: u64| mine.get(&turn).copied();
            let is_unsure = |at: &(u64, u64)| {
                there.is_unsure_of(&now, *at) && !there.has_all_of(at.0, chain_at)
            };
            let by_openings = kept.iter().any(is_unsure).then_some(Parting::Unknown);
            parted((&here, &mine), applied, by_openings)
        };
        let by_now = || Some((parting_of(&now, copy).or_else(of_before)?, applied));
        let Some((parting, last)) = unsure.or_else(by_now) else { return Ok(None) };
        let first = kept.iter().map(|(turn, _)| *turn).min();
        let before = first.map_or(last, |first| first.saturating_sub(1).min(last));
        Ok(Some(parting.part(before, last)))
    }

    /// All records of these turns, in their order, but for refusals that did not count: what they would have refused may have
    /// been accepted.
    fn records(
        &self,
        Part { after: common, last, .. }: Part,
    ) -> Result<Vec<Proposal>, SalvageError> {
        let written = sqlite::written(&self.folder)?.into_iter();
        let written: HashMap<u64, Written> =
            written.map(|written| (written.turn, written)).collect();
        let (mut after, mut proposals, mut missing) = (common, Vec::new(), Vec::new());
        while after < last {
            let batches = sqlite::kept_batches(&self.folder, after, SALVAGE_BYTES)?;
            let before = after;
            for kept in batches.iter().take_while(|kept| kept.turn <= last) {
                if kept.turn > after.saturating_add(1) {
                    missing.push((after.saturating_add(1), kept.turn.saturating_sub(1)));
                }
                after = kept.turn;
                let batch = match self.seal.open(&kept.batch) {
                    Ok((_, batch)) => batch,
                    // What no server has sealed counts for nothing.
                    Err(BatchError::Seal | BatchError::Cut) => continue,
                    Err(error) => {
                        let (folder, turn) = (self.folder.display().to_string(), kept.turn);
                        return Err(SalvageError::Unread { folder, turn, error });
                    }
                };
                let written = written.get(&kept.turn);
                let counts = |record: &Guarded| written.is_none_or(|it| may_count(record, it));
                let records = batch.records.into_iter().filter(counts);
                proposals.extend(records.map(|record| record.proposal));
            }
            if after == before {
                break;
            }
        }
        if after < last {
            missing.push((after.saturating_add(1), last));
        }
        if missing.is_empty() {
            return Ok(proposals);
        }
        let (folder, first) = (self.folder.display().to_string(), common.saturating_add(1));
        Err(SalvageError::Gap { folder, first, last, missing: named(&missing) })
    }
}

/// Whether this is no refusal, or one that counted at a turn that has written these keys.
fn may_count(Guarded { proposal, guard }: &Guarded, written: &Written) -> bool {
    let is_refusal = matches!(proposal, Proposal::No(_));
    !is_refusal || guard.writes.iter().all(|key| written.keys.contains(key))
}

/// Parts of a log in words, as `1 to 5, 9 to 12`.
fn named(parts: &[(u64, u64)]) -> String {
    let named =
        parts.iter().take(PARTS_NAMED_MAX).map(|(first, last)| format!("{first} to {last}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = parts.len().saturating_sub(PARTS_NAMED_MAX);
    if more == 0 { named } else { format!("{named} and {more} parts more") }
}

/// What a folder may have that the log was opened without.
#[derive(Debug, Default)]
pub(super) struct Missing {
    records: Vec<Proposal>,
    /// Nobody remembers where they parted: much of it may be in the log.
    is_guess: bool,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Looks for that. The database in `data` has followed the log.
pub(super) fn lost(source: &Source, data: &Path) -> Result<Missing, SalvageError> {
    let folder = source.folder.display();
    let Some(part) = source.part(data)? else {
        tracing::info!(%folder, "the log has everything that is there");
        return Ok(Missing::default());
    };
    let records = source.records(part)?;
    let Part { after, last, is_guess } = part;
    if is_guess && after > 0 {
        tracing::warn!(
            %folder,
            "nobody remembers where the log and this folder have parted, and the bytes of turns 1 to {after} are not there any more: \
             if it was before, devices bring again what somebody notices is missing"
        );
    }
    tracing::info!(%folder, from = after.saturating_add(1), to = last, "taking up what is there");
    Ok(Missing { records, is_guess })
}

/// What was salvaged.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Kept now.
    kept: u64,
    /// In the log already.
    known: u64,
    /// Refused then, and so they are now.
    refused: u64,
    /// Not taken up, by what they are.
    left_out: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn leave_out(&mut self, what: &'static str) {
        let count = self.left_out.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    /// What was left out, in words. Of what is not decided again it is not looked whether the log has it.
    fn left_out(&self, is_guess: bool) -> String {
        let left_out = self.left_out.iter().map(|(what, count)| format!("{count} {what}"));
        let left_out = left_out.collect::<Vec<_>>().join(", ");
        match (left_out.is_empty(), is_guess) {
            (true, _) => "nothing".to_owned(),
            (false, false) => left_out,
            (false, true) => format!(
                "{left_out}; nobody remembers where the log and this folder have parted, so the log may have these, and what \
                 came after them: look at how it is now before you do one again"
            ),
        }
    }

    fn say(&self, is_guess: bool) {
        let (Self { kept, known, refused, .. }, left_out) = (self, self.left_out(is_guess));
        tracing::info!(kept, known, refused, %left_out, "taken up: what the log was opened without");
    }
}

/// Decides it again, in its order, and has kept what is in order.
pub(super) async fn take_up(
    (router, turns): (&mut Router, &mut impl Turns),
    Missing { records: lost, is_guess }: Missing,
    (clock, copies): (Clock, &mut Vec<CopyChange>),
) -> Result<Tally, SalvageError> {
    // A frame that was refused must not come behind its no.
    let refused: HashSet<Digest> = lost.iter().filter_map(refusal).collect();
    let (mut tally, mut fates) = (Tally::default(), HashMap::new());
    for proposal in lost {
        let Some(what) = name_of(&proposal) else { continue };
        let Some(said) = Said::of(proposal) else {
            tally.leave_out(what);
            continue;
        };
        let digest = said.digest();
        if digest.is_some_and(|digest| refused.contains(&digest)) {
            fates.insert(digest, Fate::Refused);
            continue;
        }
        let kept = tally.kept;
        let became = again((router, turns), &said, (clock, copies), kept).await?;
        match (became, digest) {
            (Became::Kept, _) => {
                tally.kept = tally.kept.saturating_add(1);
                fates.insert(digest, Fate::There);
            }
            // One that was void there, and decided again, is there twice.
            (Became::Known, Some(_)) if fates.get(&digest) == Some(&Fate::There) => {}
            (Became::Known, _) => {
                tally.known = tally.known.saturating_add(1);
                fates.insert(digest, Fate::There);
            }
            (Became::Nothing, Some(_)) => {
                fates.entry(digest).or_insert(Fate::LeftOut(what));
            }
            (Became::Nothing, None) => tally.leave_out(what),
        }
    }
    fates.remove(&None);
    for fate in fates.into_values() {
        match fate {
            Fate::There => {}
            Fate::Refused => tally.refused = tally.refused.saturating_add(1),
            Fate::LeftOut(what) => tally.leave_out(what),
        }
    }
    tally.say(is_guess);
    Ok(tally)
}

/// The frame that this refuses.
fn refusal(proposal: &Proposal) -> Option<Digest> {
    match proposal {
        Proposal::No(new) => Some(new.digest),
        _ => None,
    }
}

/// What a record is for people; nothing for what is of then alone, and for what servers do by themselves.
fn name_of(proposal: &Proposal) -> Option<&'static str> {
    Some(match proposal {
        Proposal::Account(_) => "accounts",
        Proposal::Identity(_) => "new identities",
        Proposal::Bundle(_) => "keys of devices",
        Proposal::Password(_) => "passwords",
        Proposal::Entry(_) => "messages and receipts",
        Proposal::Epoch(_) => "keys of conversations",
        Proposal::Link(_) => "changes of members",
        Proposal::Topic(_) => "topics",
        Proposal::Retention(_) => "retention times",
        Proposal::Copies(_) => "changes of copies of files",
        Proposal::Share(_) => "changes of shared files",
        Proposal::Order(_) => "decisions of the operator",
        Proposal::Excuse(_)
        | Proposal::Drop(_)
        | Proposal::Erase(_)
        | Proposal::Cursors { .. }
        | Proposal::Session(_)
        | Proposal::Gone(_)
        | Proposal::No(_)
        | Proposal::Probe(_) => return None,
    })
}

/// What a frame has come to in the end.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    There,
    Refused,
    LeftOut(&'static str),
}

/// What became of something.
enum Became {
    Kept,
    Known,
    Nothing,
}

/// Something that somebody has said.
enum Said {
    /// An account, as it was made.
    Account(Box<NewAccount>),
    /// A frame, with what came with a KEY.
    Frame(Box<(Header, RawFrame, Option<EpochUpload>)>),
}

impl Said {
    /// What a proposal says that is worth to be said again. Sessions and cursors are of then.
    fn of(proposal: Proposal) -> Option<Self> {
        let (bytes, epoch) = match proposal {
            Proposal::Account(new) => return Some(Self::Account(new)),
            Proposal::Entry(new) => (new.frame, None),
            Proposal::Link(new) => (new.frame, None),
            Proposal::Epoch(new) => {
                let (e, members, wraps) = (new.e, new.members, new.wraps);
                (new.frame, Some(EpochUpload { e, members, wraps }))
            }
            _ => return None,
        };
        let frame = RawFrame::decode(bytes).ok()?;
        let header = Header::parse(frame.header()).ok()?;
        Some(Self::Frame(Box::new((header, frame, epoch))))
    }

    /// The digest of a frame.
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Account(_) => None,
            Self::Frame(said) => Some(said.1.digest(said.0.shape().label())),
        }
    }
}

/// What it is to come to now; or why nothing has to be proposed.
fn decide(router: &Router, said: &Said, clock: Clock) -> Result<Proposal, Became> {
    match said {
        Said::Account(new) => match router.account_folded(&new.name) {
            None => Ok(Proposal::Account(new.clone())),
            Some(account) if account.identity == new.bundle.identity() => Err(Became::Known),
            // Somebody else has taken the name since.
            Some(_) => Err(Became::Nothing),
        },
        Said::Frame(said) => {
            let (header, frame, epoch) = (**said).clone();
            let request = request(router, header, &frame, epoch).ok_or(Became::Nothing)?;
            match router.decide(clock(), &request, &mut Pending::default()) {
                Decision::Propose(proposal) => Ok(proposal),
                Decision::Again(_) => Err(Became::Known),
                Decision::Refuse(_) | Decision::Rekey(_) | Decision::Defer => Err(Became::Nothing),
            }
        }
    }
}

/// Decides it until it is kept, or need not be.
async fn again(
    (router, turns): (&mut Router, &mut impl Turns),
    said: &Said,
    (clock, copies): (Clock, &mut Vec<CopyChange>),
    kept: u64,
) -> Result<Became, SalvageError> {
    for _ in 0..DECISIONS_MAX {
        let proposal = match decide(router, said, clock) {
            Ok(proposal) => proposal,
            Err(became) => return Ok(became),
        };
        let guard = router.guard(&proposal);
        let at = turns.applied();
        let came = turns.commit(at, clock(), vec![Guarded { proposal, guard }]).await?;
        let became = came.iter().find_map(own);
        take_over(router, came, copies);
        match became {
            Some(Ok(became)) => return Ok(became),
            Some(Err(Unkept::Full)) => return Err(SalvageError::Full(kept)),
            // It is decided again, on all that came before it.
            Some(Err(Unkept::Stale | Unkept::Clock)) | None => {}
        }
    }
    Err(SalvageError::Overtaken(kept))
}

/// What became of the one record of this server.
fn own(turn: &Turn) -> Option<Result<Became, Unkept>> {
    let Records::Own(records) = &turn.records else { return None };
    let record = records.first()?.as_ref();
    Some(record.map_err(|why| *why).map(|committed| match committed.outcome {
        Ok(Stored::Again(_)) => Became::Known,
        Ok(_) => Became::Kept,
        Err(_) => Became::Nothing,
    }))
}

/// A frame as the connection of its sender would have brought it; nothing where there is no such sender any more.
fn request(
    router: &Router,
    header: Header,
    frame: &RawFrame,
    epoch: Option<EpochUpload>,
) -> Option<FrameRequest> {
    let (name, sk) = header.signer();
    let account = router.account_folded(name)?;
    let device = account.live_devices().find(|device| device.sk == sk)?;
    let peer = Arc::new(Peer {
        connection: ConnectionId::HUB,
        account: account.id,
        device: device.id,
        name: account.name.clone(),
        sk,
        spki: Vec::new(),
        purpose: Purpose::Task,
        outbox: bounded(OutboxLimits::default()).0,
        budgets: AccountBudgets::lifted(),
        heard: Heard::default(),
        page: Semaphore::new(1),
    });
    let digest: Digest = frame.digest(header.shape().label());
    let (frame, arrived) = (frame.bytes().clone(), Instant::now());
    Some(FrameRequest { peer, header, frame, digest, epoch, arrived })
}

#[cfg(test)]
mod tests;
