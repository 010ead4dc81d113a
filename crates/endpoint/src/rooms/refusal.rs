//! Why something cannot be done in a room, in words for the person who asked.

use chat_protocol::code;
use chat_protocol::id::KeyId;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};

use super::action::RoomAction;

/// Code and sentence.
type Refusal = (&'static str, String);

/// What the verified view says against it; [`Membership::check`] has the last word. `me` is this user with
/// their identity, `ik` that of whom it is about.
pub(super) fn by_view(
    room: &Membership,
    (me, own): (&UserName, &KeyId),
    action: &RoomAction,
    ik: Option<KeyId>,
) -> Option<Refusal> {
    let is_in = room.holds(me, own);
    if let Some(owner) = room.conversation().feed_owner() {
        return of_feed(room, &owner, (me, is_in), action)
            .map(|reason| (code::NOT_ALLOWED, reason));
    }
    let place = room.conversation().spoken();
    match action {
        RoomAction::Create { .. } => {
            room.exists().then(|| (code::NAME_TAKEN, format!("there is a room {place} already")))
        }
        RoomAction::Join { create } => join(room, *create, &place),
        _ if !room.exists() => Some((code::NO_SUCH_ROOM, format!("there is no room {place}"))),
        _ if !is_in => Some((code::NOT_A_MEMBER, format!("you are not in {place}"))),
        RoomAction::Leave if room.needs_admin(me) => {
            Some((code::NOT_ALLOWED, last_admin(me, &place)))
        }
        RoomAction::Leave => (*room.conversation() == ConversationId::all())
            .then(|| (code::NOT_ALLOWED, "nobody can leave ALL".to_owned())),
        RoomAction::Topic(_) | RoomAction::Retention(_) => None,
        RoomAction::Unban(who) => Some((
            code::NOT_ALLOWED,
            format!(
                "only the lobby is moderated by the server; who is invited here is banned no more, {who} too"
            ),
        )),
        RoomAction::Admit(_) | RoomAction::Remove { .. } | RoomAction::Role { .. } => {
            administer(room, me, (action, ik), &place).map(|reason| (code::NOT_ALLOWED, reason))
        }
    }
}

/// Why nobody makes a room again that the hub's operator has deleted.
pub(super) fn reserved(room: &Membership) -> String {
    let place = room.conversation().spoken();
    format!("the room {place} was deleted, and its name stays reserved; choose another")
}

fn of_feed(
    room: &Membership,
    owner: &UserName,
    (me, is_in): (&UserName, bool),
    action: &RoomAction,
) -> Option<String> {
    let follows = |who: &UserName| room.members().contains_key(who);
    match action {
        RoomAction::Join { .. } if owner == me => Some("nobody follows themselves".to_owned()),
        RoomAction::Join { .. } if is_in => Some(format!("you follow {owner} already")),
        RoomAction::Leave if !is_in => Some(format!("you do not follow {owner}")),
        RoomAction::Remove { who, .. } if !follows(who) => {
            Some(format!("{who} does not follow you"))
        }
        _ => None,
    }
}

fn last_admin(who: &UserName, place: &str) -> String {
    format!(
        "{who} is the last admin of {place}, and nobody could be let in any more; make somebody \
         else an admin first"
    )
}

fn join(room: &Membership, create: bool, place: &str) -> Option<Refusal> {
    if !room.exists() {
        let reason = format!("there is no room {place}");
        return (!create).then_some((code::NO_SUCH_ROOM, reason));
    }
    (!room.is_open()).then(|| {
        let reason = format!("{place} is private; ask an admin of it to invite you");
        (code::NOT_ALLOWED, reason)
    })
}

fn administer(
    room: &Membership,
    me: &UserName,
    (action, ik): (&RoomAction, Option<KeyId>),
    place: &str,
) -> Option<String> {
    let member = |who: &UserName| room.members().get(who);
    let is_admin = member(me).is_some_and(|member| member.admin);
    match action {
        RoomAction::Admit(who) if ik.is_some_and(|ik| room.holds(who, &ik)) => {
            return Some(format!("{who} is in {place} already"));
        }
        RoomAction::Admit(who) if !is_admin && room.is_open() => {
            return Some(format!(
                "only an admin may do that; {place} is open, so {who} can join it"
            ));
        }
        _ if room.is_implicit() => return Some(format!("{place} has no admins")),
        _ if !is_admin => return Some(format!("only an admin of {place} may do that")),
        _ => {}
    }
    match action {
        RoomAction::Remove { who, ban: false } if !room.contains(who) => {
            Some(format!("{who} is not in {place}"))
        }
        RoomAction::Remove { who, .. } | RoomAction::Role { who, admin: false }
            if room.needs_admin(who) =>
        {
            Some(last_admin(who, place))
        }
        RoomAction::Role { who, .. } if !room.contains(who) => {
            Some(format!("{who} is not in {place}; invite them first"))
        }
        RoomAction::Role { who, admin } if member(who).is_some_and(|m| m.admin == *admin) => {
            let is = if *admin { "is an admin" } else { "is no admin" };
            Some(format!("{who} {is} of {place} already"))
        }
        _ => None,
    }
}
