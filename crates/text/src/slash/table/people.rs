//! People and who follows whom.

use super::super::{Completion, FeedCommand, SlashCommand, SlashRow, feeds, identity};

/// The rows.
pub(super) static PEOPLE: &[SlashRow] = &[
    SlashRow {
        name: "users",
        aliases: &["who", "names"],
        usage: "/users",
        description: "show who is there",
        example: "/users",
        completion: Completion::Nothing,
        parse: |row, rest| row.alone(rest, SlashCommand::Users),
    },
    SlashRow {
        name: "whois",
        aliases: &[],
        usage: "/whois USER",
        description: "show what is known of somebody: presence, key, devices, common rooms",
        example: "/whois bob",
        completion: Completion::Users,
        parse: identity::whois,
    },
    SlashRow {
        name: "subscribe",
        aliases: &["sub", "follow"],
        usage: "/subscribe USER",
        description: "follow somebody: what they say in open rooms comes to me wherever I am",
        example: "/subscribe bob",
        completion: Completion::Users,
        parse: |row, rest| feeds::user(row, rest, FeedCommand::Subscribe),
    },
    SlashRow {
        name: "unsubscribe",
        aliases: &["unsub", "unfollow"],
        usage: "/unsubscribe USER",
        description: "follow somebody no more",
        example: "/unsubscribe bob",
        completion: Completion::Users,
        parse: |row, rest| feeds::user(row, rest, FeedCommand::Unsubscribe),
    },
    SlashRow {
        name: "subs",
        aliases: &["following"],
        usage: "/subs",
        description: "show whom I follow",
        example: "/subs",
        completion: Completion::Nothing,
        parse: |row, rest| row.alone(rest, SlashCommand::Feed(FeedCommand::Follows)),
    },
    SlashRow {
        name: "subscribers",
        aliases: &["followers"],
        usage: "/subscribers [remove USER]",
        description: "show who follows me, or put one of them out",
        example: "/subscribers remove bob",
        completion: Completion::Nothing,
        parse: feeds::subscribers,
    },
];
