//! Ctrl-C and SIGTERM: what runs until then ends in order, and leaves nothing behind.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work` to its end, or until a person interrupts it; then answers nothing.
pub async fn unless_interrupted<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    let mut interrupted = signal(SignalKind::interrupt()).context("failed to watch for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("failed to watch for SIGTERM")?;
    tokio::select! {
        outcome = work => outcome.map(Some),
        _ = interrupted.recv() => Ok(None),
        _ = terminated.recv() => Ok(None),
    }
}
