//! The log from outside: its contract, its crashes, its recovery table, its bytes.

mod common;
mod contract;
mod crash;
mod golden;
mod old_damage;
mod recovery;
mod room;
mod salvage;
mod unreadable;
mod view;
