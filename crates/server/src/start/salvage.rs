//! What only one server had when the log was opened without it: its turns are decided again, as if those who have said
//! something said it again.
//!
//! Ids and counters make it safe: what is in the log is there once, and what does not fit any more is left out. Then the
//! device of who has said it brings it again when somebody notices the gap.

use std::path::Path;
use std::sync::Arc;

use chat_protocol::{frame::RawFrame, handshake::Purpose, header::Header, id::Digest};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    budgets::AccountBudgets,
    clock::Clock,
    connection::ConnectionId,
    limits::SALVAGE_BYTES,
    order::{
        Turn, Turns,
        batch::Seal,
        opening::{forked_behind, openings},
    },
    outbox::{OutboxLimits, bounded},
    request::{EpochUpload, FrameRequest, Heard, Peer},
    router::{Decision, Pending, Router},
    store::{
        CommitError, CopyChange, Facts, OpenError, Proposal,
        sqlite::{self, Lost},
    },
};

use super::take_over;

/// How often something is decided again that others have overtaken.
const DECISIONS_MAX: usize = 16;

/// What was salvaged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Kept now.
    kept: u64,
    /// In the log already.
    known: u64,
    /// Left out.
    left_out: u64,
}

/// What a folder has that the log was opened without.
pub(super) fn lost(
    (folder, log): (&Path, [u8; 16]),
    seal: &Seal,
    facts: &Facts,
) -> Result<Vec<Proposal>, OpenError> {
    let Lost { applied, read_from } = sqlite::followed_to(folder, log)?;
    let Some(common) = forked_behind(&openings(facts), (applied, read_from)) else {
        tracing::info!(folder = %folder.display(), "the log has everything that is there");
        return Ok(Vec::new());
    };
    let (mut after, mut proposals) = (common, Vec::new());
    loop {
        let batches = sqlite::kept_batches(folder, after, SALVAGE_BYTES)?;
        let Some(last) = batches.last() else { break };
        after = last.turn;
        for kept in &batches {
            // What no server has sealed counts for nothing.
            let Ok((_, batch)) = seal.open(&kept.batch) else { continue };
            proposals.extend(batch.records.into_iter().map(|record| record.proposal));
        }
    }
    tracing::info!(folder = %folder.display(), from = common.saturating_add(1), to = applied, "taking up what is there");
    Ok(proposals)
}

/// Decides it again, in its order, and has kept what is in order.
pub(super) async fn take_up(
    (router, turns): (&mut Router, &mut impl Turns),
    lost: Vec<Proposal>,
    (clock, copies): (Clock, &mut Vec<CopyChange>),
) -> Result<(), CommitError> {
    let mut tally = Tally::default();
    for proposal in lost {
        let Some(said) = Said::of(proposal) else { continue };
        let counted = match again((router, turns), said, (clock, copies)).await? {
            Became::Kept => &mut tally.kept,
            Became::Known => &mut tally.known,
            Became::Nothing => &mut tally.left_out,
        };
        *counted = counted.saturating_add(1);
    }
    let Tally { kept, known, left_out } = tally;
    tracing::info!(kept, known, left_out, "taken up: what the log was opened without");
    Ok(())
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
    Account(Proposal),
    /// A frame, with what came with a KEY.
    Frame(Box<(Header, RawFrame, Option<EpochUpload>)>),
}

impl Said {
    /// What a proposal says that is worth to be said again. Sessions and cursors are of then.
    fn of(proposal: Proposal) -> Option<Self> {
        let (bytes, epoch) = match proposal {
            Proposal::Account(_) => return Some(Self::Account(proposal)),
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
}

async fn again(
    (router, turns): (&mut Router, &mut impl Turns),
    said: Said,
    (clock, copies): (Clock, &mut Vec<CopyChange>),
) -> Result<Became, CommitError> {
    let mut account = None;
    let request = match said {
        Said::Account(Proposal::Account(new)) if router.account_folded(&new.name).is_none() => {
            account = Some(Proposal::Account(new));
            None
        }
        Said::Account(_) => return Ok(Became::Known),
        Said::Frame(said) => {
            let (header, frame, epoch) = *said;
            let Some(request) = request(router, header, &frame, epoch) else {
                return Ok(Became::Nothing);
            };
            Some(request)
        }
    };
    for _ in 0..DECISIONS_MAX {
        let proposal = match &request {
            None => match account.take() {
                Some(proposal) => proposal,
                None => return Ok(Became::Nothing),
            },
            Some(request) => match router.decide(clock(), request, &mut Pending::default()) {
                Decision::Propose(proposal) => proposal,
                Decision::Again(_) => return Ok(Became::Known),
                Decision::Refuse(_) | Decision::Rekey(_) | Decision::Defer => {
                    return Ok(Became::Nothing);
                }
            },
        };
        let guard = router.guard(&proposal);
        let at = turns.applied();
        let came =
            turns.commit(at, clock(), vec![crate::order::Guarded { proposal, guard }]).await?;
        let is_kept = came.iter().any(Turn::keeps_own);
        take_over(router, came, copies);
        if is_kept {
            return Ok(Became::Kept);
        }
    }
    Ok(Became::Nothing)
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
