//! HTTP as all providers' APIs need it: a deadline for every call, retries with jitter that respect
//! `Retry-After`, a rate limit for every quota, bounded bodies, and a count of what was asked.
//!
//! TLS is always verified. Plain `http` is taken for a loopback address alone, which is how tests
//! and local emulators are reached. Redirects are not followed: credentials go where they were
//! meant to.

mod call;
mod client;
mod quota;
mod retry;

pub use call::{Answer, Call, Fault, Signer};
pub use client::{Client, Counts, Endpoint};
pub use quota::{Quota, Quotas};
