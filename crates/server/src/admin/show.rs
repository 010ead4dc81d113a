//! Answers as lines: for people, or as JSON.

use chat_protocol::{retention, sanitise, spoken::counted};
use serde::Serialize;
use serde_json::json;

use super::request::{AdminAnswer, AdminRequest, RoomLine, StatsLine, UserDetail, UserLine};
use crate::store::{Registration, Standing};

/// What is printed, page after page.
#[derive(Debug)]
pub struct Output {
    json: bool,
    /// A code that was made with the request.
    code: Option<String>,
    has_head: bool,
}

impl Output {
    /// For people, or as JSON.
    pub fn new(json: bool, code: Option<String>) -> Self {
        Self { json, code, has_head: false }
    }

    /// The lines of one answer.
    pub fn lines(&mut self, request: &AdminRequest, answer: &AdminAnswer) -> Vec<String> {
        if self.json { self.objects(answer) } else { self.words(request, answer) }
    }

    fn objects(&self, answer: &AdminAnswer) -> Vec<String> {
        fn each<T: Serialize>(lines: &[T]) -> Vec<String> {
            lines.iter().filter_map(|line| serde_json::to_string(line).ok()).collect()
        }
        match answer {
            AdminAnswer::Users { users, .. } => each(users),
            AdminAnswer::Rooms { rooms, .. } => each(rooms),
            AdminAnswer::Bans { bans } => {
                bans.iter().map(|b| json!({"ban": b}).to_string()).collect()
            }
            AdminAnswer::User(user) => each(std::slice::from_ref(user.as_ref())),
            AdminAnswer::Stats(stats) => each(std::slice::from_ref(stats)),
            AdminAnswer::Running(running) => each(std::slice::from_ref(running.as_ref())),
            AdminAnswer::Done { what } => {
                let mut object = json!({"done": what});
                if let (Some(code), Some(fields)) = (&self.code, object.as_object_mut()) {
                    fields.insert("code".to_owned(), code.as_str().into());
                }
                vec![object.to_string()]
            }
            AdminAnswer::Refused { reason } => vec![json!({"refused": reason}).to_string()],
        }
    }

    fn words(&mut self, request: &AdminRequest, answer: &AdminAnswer) -> Vec<String> {
        let is_first = !std::mem::replace(&mut self.has_head, true);
        let head = |text: &str| is_first.then(|| text.to_owned());
        match answer {
            AdminAnswer::Users { users, .. } => {
                let head =
                    head("NAME                             STATE     HERE  DEVICES  WAITING");
                head.into_iter().chain(users.iter().map(user)).collect()
            }
            AdminAnswer::Rooms { rooms, .. } => {
                let head = head("ROOM                             KIND     MEMBERS  KEEPS");
                head.into_iter().chain(rooms.iter().map(room)).collect()
            }
            AdminAnswer::Bans { bans } if bans.is_empty() => vec!["nobody is banned".to_owned()],
            AdminAnswer::Bans { bans } => bans.iter().map(ToString::to_string).collect(),
            AdminAnswer::User(user) => detail(user),
            AdminAnswer::Stats(figures) => stats(figures),
            // Asked by the doctor, who says it in other words.
            AdminAnswer::Running(_) => self.objects(answer),
            AdminAnswer::Done { what } => done(request, what, self.code.as_deref()),
            AdminAnswer::Refused { reason } => vec![sanitise::line(reason).into_owned()],
        }
    }
}

fn state(line: &UserLine) -> &'static str {
    match line.standing {
        Standing::Active if line.banned => "banned",
        Standing::Active => "active",
        Standing::Disabled => "disabled",
        Standing::Deleted => "deleted",
    }
}

fn user(line: &UserLine) -> String {
    let UserLine { name, online, agent, devices, waiting, .. } = line;
    let (state, here) = (state(line), if *online { "yes" } else { "-" });
    let agent = if *agent { "  accepts commands" } else { "" };
    format!("{name:<32} {state:<9} {here:<5} {devices:>7}  {waiting:>7}{agent}")
}

fn kept(keep_ms: u64) -> String {
    if keep_ms == 0 { "for ever".to_owned() } else { retention::format(keep_ms) }
}

fn room(line: &RoomLine) -> String {
    let RoomLine { room, open, closed, members, keep_ms } = line;
    let kind = match (closed, open) {
        (true, _) => "deleted",
        (false, true) => "open",
        (false, false) => "private",
    };
    let keeps = if *closed { "-".to_owned() } else { kept(*keep_ms) };
    format!("{:<32} {kind:<8} {members:>7}  {keeps}", room.to_string())
}

fn detail(user: &UserDetail) -> Vec<String> {
    let line = &user.line;
    let mut lines = vec![
        format!("name      {}", line.name),
        format!("state     {}{}", state(line), if line.online { ", here" } else { "" }),
        format!("identity  key:{}", user.identity),
        mailbox("mailbox", line.waiting, user.waiting_bytes),
        format!("offers    {}", counted(user.offers, "file")),
        format!("rooms     {}", user.rooms.join(", ")),
    ];
    lines.extend(user.bans.iter().map(|banned| format!("ban       {banned}")));
    lines.extend(user.lobby.iter().map(|word| format!("lobby     {}", sanitise::line(word))));
    for device in &user.devices_known {
        let agent = if device.agent { ", accepts commands" } else { "" };
        let revoked = if device.live { "" } else { ", revoked" };
        lines.push(format!("device    key:{}{agent}{revoked}", device.key));
    }
    lines
}

fn mailbox(what: &str, messages: u64, bytes: u64) -> String {
    format!("{what:<9} {}, {}", counted(messages, "message"), counted(bytes, "byte"))
}

fn stats(figures: &StatsLine) -> Vec<String> {
    let StatsLine { version, accounts, disabled, online, sessions, rooms, .. } = figures;
    let new = match figures.registration {
        Registration::Open => "anybody makes an account",
        Registration::Invite => "whoever has a code makes an account",
        Registration::Closed => "nobody makes an account, with a code or without",
    };
    [
        format!("version   {version}"),
        format!(
            "accounts  {accounts}, {disabled} disabled, {online} here with {}",
            counted(*sessions, "session")
        ),
        format!("rooms     {rooms}"),
        mailbox("mailboxes", figures.waiting, figures.waiting_bytes),
        format!("offers    {}", counted(figures.offers, "file")),
        format!("position  {}", figures.position),
        format!("sign-ups  {new}"),
        format!("invites   {} in force", counted(figures.invites, "code")),
        format!("bans      {}", figures.bans),
    ]
    .into_iter()
    .chain(figures.address.map(|address| format!("address   {address}")))
    .collect()
}

fn done(request: &AdminRequest, what: &[String], code: Option<&str>) -> Vec<String> {
    if let (AdminRequest::Invite { uses, for_ms, .. }, Some(code)) = (request, code) {
        let time = retention::format(*for_ms);
        return vec![
            code.to_owned(),
            format!(
                "good for {uses} new accounts and {time}: chat-client --user NAME --invite {code}"
            ),
        ];
    }
    if let (AdminRequest::Reset { name, for_ms, .. }, Some(code)) = (request, code) {
        let time = retention::format(*for_ms);
        // As it is written in the account: whoever enters has to write it so.
        let name = what.first().map_or(name.as_str(), String::as_str);
        return vec![
            code.to_owned(),
            format!(
                "lets one new identity in as {name}, within {time}: chat-client --user {name} --invite {code}"
            ),
            format!(
                "until then {name} goes on as before; then everybody who knows {name} is warned, and what \
                 waits for {name} is delivered to nobody: its senders see that it has no receipt"
            ),
        ];
    }
    let doing = match request {
        AdminRequest::Standing { standing: Standing::Active, .. } => "enabled",
        AdminRequest::Standing { standing: Standing::Disabled, .. } => "disabled",
        AdminRequest::Standing { standing: Standing::Deleted, .. }
        | AdminRequest::CloseRoom { .. } => "deleted",
        AdminRequest::Retention { .. } => "set",
        AdminRequest::Moderator { is_one: true, .. } => "moderates the lobby:",
        AdminRequest::Moderator { is_one: false, .. } => "moderates no more:",
        AdminRequest::Ban { .. } => "banned",
        AdminRequest::Unban { .. } => "unbanned",
        AdminRequest::Announce { .. } => "told",
        _ => "done:",
    };
    if what.is_empty() {
        return vec!["nothing to change".to_owned()];
    }
    what.iter().map(|what| format!("{doing} {}", sanitise::line(what))).collect()
}
