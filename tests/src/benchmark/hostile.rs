//! A registry that answers everything with bytes that never end.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Body;
use futures::stream;
use tokio::net::TcpListener;

use super::contestants::Lockmaster;
use super::measure::memory;
use crate::handmade::Key;
use crate::image::Image;

/// How often memory is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// Reads many images of such a registry at once; by how many bytes the process grew meanwhile, at
/// most. All of them must be refused.
pub(super) async fn growth(key: &Key, count: usize) -> anyhow::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("failed to listen")?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let endless = || async {
        let zeros = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 << 10]));
        let body = Body::from_stream(zeros);
        (
            [("content-type", "application/vnd.oci.image.index.v1+json")],
            body,
        )
    };
    let server = axum::serve(listener, Router::new().fallback(endless));
    let server = tokio::spawn(server.into_future());
    let images: Vec<Image> = (0..count)
        .map(|number| Image {
            repository: format!("{address}/shop/checkout"),
            digest: format!("sha256:{number:064x}"),
        })
        .collect();
    let lockmaster = Lockmaster::new(key, &images)?;
    let before = memory()?;
    let reading = lockmaster.refused(&images);
    tokio::pin!(reading);
    let mut most = before;
    let refused = loop {
        tokio::select! {
            refused = &mut reading => break refused?,
            () = tokio::time::sleep(PERIOD) => most = most.max(memory()?),
        }
    };
    server.abort();
    ensure!(refused == count, "{refused} of {count} images were refused");
    Ok(most.saturating_sub(before))
}
