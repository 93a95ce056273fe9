//! Waiting for what must happen; the error says what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lockmaster_core::status::{PromotionStatus, State};

use super::Shop;

/// How long anything may take that is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);

impl Shop<'_> {
    /// The status of a Promotion once it is as wanted; the error shows the last one seen.
    pub async fn wait(
        &self,
        promotion: &str,
        wanted: impl Fn(&PromotionStatus) -> bool,
    ) -> anyhow::Result<PromotionStatus> {
        let api = self.promotions();
        let started = Instant::now();
        loop {
            let object = api
                .get(promotion)
                .await
                .context("failed to read a Promotion")?;
            let status = object.status.unwrap_or_default();
            if wanted(&status) {
                return Ok(status);
            }
            if started.elapsed() > PATIENCE {
                let seen = serde_json::to_string_pretty(&status)?;
                bail!("Promotion {promotion} is not as expected after {PATIENCE:?}: {seen}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The status of a Promotion once it is in this state.
    pub async fn wait_for(&self, promotion: &str, state: State) -> anyhow::Result<PromotionStatus> {
        let wanted = |status: &PromotionStatus| {
            let conditions = &status.conditions;
            status.state == state && conditions.iter().any(|condition| condition.kind == "Ready")
        };
        self.wait(promotion, wanted).await
    }

    /// Promotes into a stage and waits for success.
    pub async fn promote_with_success(
        &self,
        version: &str,
        stage: &str,
    ) -> anyhow::Result<PromotionStatus> {
        let promotion = self.promote(version, stage).await?;
        self.wait_for(&promotion, State::Succeeded).await
    }

    /// Waits for something; the error says for what.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                bail!("waited {PATIENCE:?} in vain for {what}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
