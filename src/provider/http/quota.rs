//! Rate limits: one for each quota of a provider, shared by everything that draws on it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

/// A limit of requests in a time.
#[derive(Clone)]
pub struct Quota(Arc<RateLimiter<NotKeyed, InMemoryState, DefaultClock>>);

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quota")
    }
}

impl Quota {
    /// Waits for its turn.
    pub async fn turn(&self) {
        self.0.until_ready().await;
    }
}

/// The quotas of one run, by name.
#[derive(Debug, Clone, Default)]
pub struct Quotas(Arc<Mutex<BTreeMap<String, Quota>>>);

impl Quotas {
    /// The quota `name`, such as `aws/lookup-events/111122223333/eu-central-1`; made with
    /// `per_minute` requests where it is asked for first. Requests are spread evenly.
    pub fn get(&self, name: &str, per_minute: NonZeroU32) -> Quota {
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let rate = Rate::per_minute(per_minute).allow_burst(NonZeroU32::MIN);
            Quota(Arc::new(RateLimiter::direct(rate)))
        };
        quotas.entry(name.to_owned()).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn one_name_is_one_limit_whoever_asks() {
        let quotas = Quotas::default();
        let (a, b) = (NonZeroU32::new(1200).unwrap(), NonZeroU32::new(9).unwrap());
        let began = Instant::now();
        for _ in 0..3 {
            quotas.get("x", a).turn().await;
            quotas.get("x", b).turn().await;
        }
        // Six turns at one in 50 ms, the first at once.
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }
}
