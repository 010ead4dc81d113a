//! One module per part of the product.

mod accounts;
mod chat;
mod commands;
mod emulate;
mod files;
mod history;
mod hostile_names;
mod http;
mod identity;
mod leak;
mod lifecycle;
mod logs;
mod lying_hub;
mod machines;
mod mailbox;
mod passwords;
mod programs;
mod resume;
mod retention;
mod rooms;
mod sequence;
mod subscriptions;
mod tidy;
mod tls;
mod trace;
mod veil;
