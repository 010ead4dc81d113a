//! Commands of this user on other machines, from their request to their end.

use std::collections::BTreeMap;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use chat_text::item::{Answer, Job};

use crate::talk::Talk;
use crate::told::Told;

/// Commands that are followed; with more under way the oldest is listed no more. Its end is told of all the same.
const JOBS_MAX: usize = 256;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// By their numbers, which are given once.
    jobs: BTreeMap<u32, Job>,
    last: u32,
}

impl Jobs {
    /// A command was asked for.
    pub(crate) fn begin(&mut self, id: MessageId, target: UserName, argv: Vec<String>) {
        if self.jobs.len() >= JOBS_MAX {
            self.jobs.pop_first();
        }
        self.last = self.last.saturating_add(1);
        let n = self.last;
        self.jobs.insert(n, Job { n, id, target, argv, state: "QUEUED" });
    }

    /// Takes what the server or the machine says of it.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Delivered { id, readable: true, .. } => self.is_at(id, "DELIVERED"),
            Event::Started { re, .. } | Event::Output { re, .. } => self.is_at(re, "STARTED"),
            Event::Refused { id, .. } | Event::Ended { re: id, .. } => self.end(id),
            _ => {}
        }
    }

    fn is_at(&mut self, id: &MessageId, state: &'static str) {
        if let Some(job) = self.jobs.values_mut().find(|job| job.id == *id)
            && job.state != "STARTED"
        {
            job.state = state;
        }
    }

    /// Nobody waits for it any more.
    pub(crate) fn end(&mut self, id: &MessageId) {
        self.jobs.retain(|_, job| job.id != *id);
    }
}

impl Talk {
    /// Shows what is under way, or takes one back.
    pub(crate) async fn about_jobs(&mut self, cancel: Option<u32>) -> Told {
        let Some(n) = cancel else {
            return Answer::Jobs(self.jobs.jobs.values().cloned().collect()).into();
        };
        let Some(job) = self.jobs.jobs.get(&n).cloned() else {
            return Told::error(format!("there is no command {n} under way; /jobs lists them"));
        };
        self.take_back(job.id).await;
        Answer::Cancelled(job).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_number_until_its_end() {
        let mut jobs = Jobs::default();
        let id = |number| MessageId::new(number, [1; 10]);
        let web = UserName::new("web1").unwrap();
        for number in 1..=3 {
            jobs.begin(id(number), web.clone(), vec!["date".to_owned()]);
        }
        jobs.note(&Event::Started { re: id(2), by: web.clone() });
        let (code, reason) = (String::new(), String::new());
        jobs.note(&Event::Refused {
            id: id(1),
            code,
            reason,
            by_hub: true,
            may_start_until_ms: None,
        });
        let left: Vec<(u32, &str)> = jobs.jobs.values().map(|job| (job.n, job.state)).collect();
        assert_eq!(left, [(2, "STARTED"), (3, "QUEUED")]);
        jobs.begin(id(4), web, vec!["date".to_owned()]);
        assert!(jobs.jobs.contains_key(&4), "no number is given twice");
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut jobs = Jobs::default();
        let web = UserName::new("web1").unwrap();
        for number in 0..1_000 {
            jobs.begin(MessageId::new(number, [1; 10]), web.clone(), Vec::new());
        }
        assert_eq!(jobs.jobs.len(), JOBS_MAX);
    }
}
