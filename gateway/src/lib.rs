//! signet-gateway: a slim API gateway that runs a `krakend.json`, version 3.
//!
//! A file is read and checked key by key ([`mod@file`]), compiled into a plan ([`plan`]), and served ([`run`]). What a request meets,
//! in this order: the routes ([`routes`]), the validator ([`auth`]), the pipeline of an endpoint ([`answer`]), and its backends ([`ask`], [`upstream`]).
//! What is not built yet is refused when the file is read; nothing of a file is silently ignored. It knows no provider and no ring.

pub mod answer;
pub mod ask;
pub mod auth;
pub mod cli;
pub mod failed;
pub mod file;
pub mod flowing;
pub mod gateway;
pub mod keys;
pub mod plan;
pub mod redirect;
pub mod routes;
pub mod run;
pub mod tree;
pub mod upstream;
