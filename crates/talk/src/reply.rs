//! Answering: whoever wrote to this user alone last, or a message that is quoted.

use std::time::Duration;

use chat_device::history::{History, Record};
use chat_device::recipient::Recipient;
use chat_endpoint::Event;
use chat_protocol::name::{ConversationId, UserName};
use tokio::time::Instant;

use crate::talk::Talk;
use crate::told::Told;

/// So long after a message of somebody else an answer may still be meant for who wrote before: whoever types it has
/// perhaps not read the newer one.
const SETTLE: Duration = Duration::from_secs(3);

/// Messages that are looked through for the one that is quoted.
const LOOKED_AT_MAX: usize = 400;

/// Characters of a quote: what was said is known to whoever is there.
const QUOTE_MAX: usize = 120;

/// Conversations of the home that are looked at for who wrote last, and messages of each.
const RECENT: (usize, usize) = (16, 20);

/// Who wrote to this user alone: the last two.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    /// Since the start, and when.
    last: Option<(UserName, Instant)>,
    /// Before them: at the start, whoever the home has.
    before: Option<UserName>,
}

impl Writers {
    /// Before the start somebody wrote last.
    pub(crate) fn found(&mut self, writer: Option<UserName>) {
        self.before = writer;
    }

    /// Takes what has come.
    pub(crate) fn note(&mut self, me: &UserName, event: &Event, now: Instant) {
        let Event::Message { cid, from, granted_by: None, .. } = event else { return };
        if !cid.is_direct() || from == me {
            return;
        }
        if let Some((writer, at)) = &mut self.last
            && writer == from
        {
            *at = now;
            return;
        }
        if let Some((writer, _)) = self.last.replace((from.clone(), now)) {
            self.before = Some(writer);
        }
    }

    /// Whom an answer is for; or those of whom one is meant. Nobody answers those whom they do not see.
    fn meant(
        &self,
        now: Instant,
        is_seen: impl Fn(&UserName) -> bool,
    ) -> Option<Result<&UserName, (&UserName, &UserName)>> {
        let last = self.last.as_ref().filter(|(last, _)| is_seen(last));
        let before = self.before.as_ref().filter(|before| is_seen(before));
        Some(match (last, before) {
            (Some((last, at)), Some(before)) if last != before && now < *at + SETTLE => {
                Err((last, before))
            }
            (Some((last, _)), _) => Ok(last),
            (None, before) => Ok(before?),
        })
    }
}

impl Talk {
    /// Where an answer goes, its text, and whether it goes under the veil; or what is said instead. What was said under
    /// the veil is not quoted without it.
    pub(crate) async fn reply(
        &self,
        place: Recipient,
        quoted: Option<usize>,
        text: String,
    ) -> Result<(Recipient, String, bool), Told> {
        if let Some(number) = quoted {
            let (quote, is_veiled) = self.quote(&place, number).await?;
            return Ok((place, format!("{quote}\n{text}"), is_veiled || self.is_veiled()));
        }
        match self.writers.meant(Instant::now(), |user| !self.is_ignored(user)) {
            Some(Ok(user)) => Ok((Recipient::User(user.clone()), text, self.is_veiled())),
            Some(Err((last, before))) => Err(Told::error(format!(
                "nothing was sent: {last} has just written, too. To write to {last}: {last}*TEXT; \
                 to {before}: {before}*TEXT"
            ))),
            None => {
                Err(Told::error("nobody has written to you alone; USER*TEXT writes to somebody"))
            }
        }
    }

    /// Looks up who wrote last before the start.
    pub(crate) async fn know_writers(&mut self) {
        let writer = self.last_writer().await;
        self.writers.found(writer);
    }

    /// Who wrote last, as the home has it. What somebody is, a person or a machine, is the server's word and decides
    /// nothing here.
    async fn last_writer(&self) -> Option<UserName> {
        // A script knows no conversations of before, and its answers go where those of a person would.
        let known = self.client.read_history(History::conversations).await;
        let known = known.and_then(Result::ok).unwrap_or_default().into_iter();
        let direct = known.filter(|(cid, _)| cid.is_direct());
        let mut direct: Vec<(u64, ConversationId)> =
            direct.map(|(cid, at_ms)| (at_ms, cid)).collect();
        direct.sort_unstable_by(|one, other| other.cmp(one));
        let mut newest: Option<(u64, UserName)> = None;
        for (_, cid) in direct.into_iter().take(RECENT.0) {
            let page = self.earlier(&cid, None, RECENT.1).await;
            let theirs = page.into_iter().map(|entry| entry.record).rev();
            let mut theirs = theirs.filter(|record| self.is_of_others(record));
            if let Some(record) = theirs.next()
                && newest.as_ref().is_none_or(|(at, _)| record.sent_ms > *at)
            {
                newest = Some((record.sent_ms, record.from));
            }
        }
        newest.map(|(_, user)| user)
    }

    /// Whether somebody else has said it, and this user has seen it.
    fn is_of_others(&self, record: &Record) -> bool {
        record.from != self.me && record.text.is_some() && !self.is_ignored(&record.from)
    }

    /// The line of a message of somebody else in the current conversation, the newest being 1, and whether it was said
    /// under the veil.
    pub(crate) async fn quote(
        &self,
        place: &Recipient,
        number: usize,
    ) -> Result<(String, bool), Told> {
        let nothing =
            || Told::error("there is no such message here; ^1 is the newest of somebody else");
        if self.rooms.current.is_none() {
            return Err(Told::error(crate::rooms::NO_ROOM));
        }
        let cid = place.conversation(&self.me).ok_or_else(nothing)?;
        let page = self.earlier(&cid, None, LOOKED_AT_MAX).await;
        let theirs = page.into_iter().map(|entry| entry.record).rev();
        let theirs = theirs.filter(|record| self.is_of_others(record));
        let mut said = theirs.filter_map(|record| Some((record.from, record.text?, record.veiled)));
        let (from, text, veiled) = said.nth(number.saturating_sub(1)).ok_or_else(nothing)?;
        Ok((format!("> {from}: {}", shortened(&text)), veiled))
    }
}

/// The beginning of the first line that says something of itself.
fn shortened(text: &str) -> String {
    let own = text.lines().find(|line| !line.starts_with("> ") && !line.trim().is_empty());
    let line = own.unwrap_or_default().trim();
    let mut characters = line.chars();
    let start: String = characters.by_ref().take(QUOTE_MAX).collect();
    if characters.next().is_some() { format!("{}…", start.trim_end()) } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_short_line_and_quotes_no_quote() {
        assert_eq!(shortened("hello"), "hello");
        assert_eq!(shortened("> bob: one\ntwo\nthree"), "two");
        assert_eq!(shortened("").len(), 0);
        assert_eq!(shortened(&"a".repeat(500)).chars().count(), QUOTE_MAX + 1);
    }

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn meant(writers: &Writers, now: Instant) -> Vec<String> {
        match writers.meant(now, |user| user.as_str() != "mallory") {
            None => Vec::new(),
            Some(Ok(user)) => vec![user.to_string()],
            Some(Err((last, before))) => vec![last.to_string(), before.to_string()],
        }
    }

    /// Goal: whoever types an answer has perhaps not seen the message that has just come, whether the one before it came
    /// in this run or stands in the log of before. (The build before looked at this run alone.)
    #[test]
    fn an_answer_is_for_who_wrote_last_unless_somebody_else_just_did() {
        let (now, mut writers) = (Instant::now(), Writers::default());
        assert!(meant(&writers, now).is_empty());
        writers.found(Some(user("carol")));
        assert_eq!(meant(&writers, now), ["carol"]);
        writers.last = Some((user("bob"), now));
        assert_eq!(meant(&writers, now), ["bob", "carol"]);
        assert_eq!(meant(&writers, now + SETTLE), ["bob"]);
        writers.last = Some((user("carol"), now));
        assert_eq!(meant(&writers, now), ["carol"], "it is the same one");
    }

    /// Goal: nobody answers somebody whom they ignore and do not see.
    #[test]
    fn an_answer_is_not_for_somebody_who_is_ignored() {
        let now = Instant::now();
        let mut writers = Writers { last: Some((user("mallory"), now)), before: None };
        assert!(meant(&writers, now).is_empty());
        writers.found(Some(user("carol")));
        assert_eq!(meant(&writers, now), ["carol"]);
    }
}
