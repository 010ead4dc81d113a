//! One module per part of the product.

mod accounts;
mod chat;
mod commands;
mod emulate;
mod history;
mod http;
mod leak;
mod lifecycle;
mod logs;
mod tidy;
mod tls;
