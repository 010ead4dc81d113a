//! One module per part of the product.

mod accounts;
mod chat;
mod commands;
mod emulate;
mod http;
mod leak;
mod lifecycle;
mod logs;
mod lying_hub;
mod mailbox;
mod rooms;
mod tidy;
mod tls;
