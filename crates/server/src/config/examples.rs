//! How each command is used, for its help and for the manual page. Each line is a command line that works;
//! a test reads them all.

use chat_manual::Examples;

/// Examples by the words that lead to a command.
pub(super) const EXAMPLES: &Examples = &[
    (
        "",
        "\
chat-server --port 9000
chat-server --bind 0.0.0.0 --tls auto
chat-server --www public
chat-server --redis redis://127.0.0.1:6379 --node n1 --data d1
chat-server --tls-cert cert.pem --tls-key key.pem --data /var/lib/chat",
    ),
    (
        "mkcert",
        "\
chat-server mkcert --name chat.example.org --out /etc/chat
chat-server mkcert",
    ),
    ("fingerprint", "chat-server fingerprint --data /var/lib/chat"),
    (
        "config",
        "\
chat-server config --config /etc/chat/chat.toml
chat-server config default > chat.toml",
    ),
    (
        "backup",
        "\
chat-server backup /var/backups/chat.tar
chat-server backup /var/backups/chat --data /var/lib/chat",
    ),
    ("restore", "chat-server restore /var/backups/chat.tar --data /var/lib/chat"),
    (
        "doctor",
        "\
chat-server doctor
chat-server doctor --config /etc/chat/chat.toml --json",
    ),
    ("health", "chat-server health --port 9000"),
    ("cluster", "chat-server cluster open --without n3 --data d1 --redis redis://127.0.0.1:6379"),
    ("cluster digest", "chat-server cluster digest --data d1"),
    (
        "cluster snapshot",
        "chat-server cluster snapshot --name n3 --out d3 --data d1 --redis redis://127.0.0.1:6379",
    ),
    (
        "cluster open",
        "\
chat-server cluster open --without n3 --data d1 --redis redis://127.0.0.1:6379
chat-server cluster open --data d1 --redis redis://127.0.0.1:6379",
    ),
    ("version", "chat-server version --json"),
    (
        "user",
        "\
chat-server user list
chat-server user disable 'emu-*'",
    ),
    (
        "user list",
        "\
chat-server user list
chat-server user list 'emu-*' --json",
    ),
    ("user show", "chat-server user show alice"),
    ("user disable", "chat-server user disable 'emu-*'"),
    ("user enable", "chat-server user enable alice"),
    (
        "user delete",
        "\
chat-server user delete alice
chat-server user delete 'emu-*' --all",
    ),
    ("user reset", "chat-server user reset alice --for 24h"),
    (
        "room",
        "\
chat-server room list
chat-server room retention ops 90d",
    ),
    ("room list", "chat-server room list --json"),
    ("room delete", "chat-server room delete ops"),
    ("room op", "chat-server room op lobby alice"),
    ("room deop", "chat-server room deop lobby alice"),
    (
        "room retention",
        "\
chat-server room retention ops 90d
chat-server room retention ops default",
    ),
    (
        "ban",
        "\
chat-server ban mallory
chat-server ban 192.0.2.0/24
chat-server ban",
    ),
    ("unban", "chat-server unban 192.0.2.0/24"),
    (
        "invite",
        "\
chat-server invite
chat-server invite --uses 30 --for 12h",
    ),
    ("stats", "chat-server stats --data /var/lib/chat"),
    ("announce", "chat-server announce maintenance"),
    ("drain", "chat-server drain"),
    ("reload", "chat-server reload"),
    ("man", "chat-server man | man -l -"),
    ("completions", "chat-server completions bash"),
];
