//! The wire protocol as sans-IO codecs: requests in, replies out. No socket, no session, no command.

pub mod frame;
pub mod invalidation;
pub mod message;
pub mod number;
pub mod reply;
pub mod request;
