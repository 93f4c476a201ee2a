//! The memory that the program really has: some steps of the engine keep rows without telling its
//! bound on memory of them.

use std::future::Future;
use std::time::Duration;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Memory beyond the limit that is let pass: buffers, and what the allocator has not given back.
const SLACK: usize = 512 << 20;

/// What became of a task.
pub(super) enum Outcome<T> {
    /// It ended.
    Done(T),
    /// Its time was over.
    Late,
    /// The program took more memory than it may.
    Full,
}

/// Waits for a task until its time is over, or until the program takes `memory` bytes more than it
/// did at the start.
pub(super) async fn watch<T>(
    task: &mut (impl Future<Output = T> + Unpin),
    time: Duration,
    memory: usize,
) -> Outcome<T> {
    let most = resident().map(|now| now.saturating_add(memory).saturating_add(SLACK));
    let full = async {
        let Some(most) = most else { return std::future::pending().await };
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if resident().is_some_and(|now| now > most) {
                return;
            }
        }
    };
    tokio::select! {
        // What has ended is not late, however late it is looked at.
        biased;
        done = task => Outcome::Done(done),
        () = tokio::time::sleep(time) => Outcome::Late,
        () = full => Outcome::Full,
    }
}

/// The bytes of the program that lie in memory; `None` where the system does not tell.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_the_program_is_known() {
        let before = resident().unwrap();
        let taken = vec![1u8; 64 << 20];
        assert!(resident().unwrap() > before.max(32 << 20), "{before}");
        drop(taken);
    }
}
