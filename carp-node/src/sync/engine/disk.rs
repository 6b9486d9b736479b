//! Work on a disk, beside the loop.

use std::io;

use tokio::task::spawn_blocking;

/// Does this on a thread that may wait. That it panicked is an error as any other. It goes on where nobody waits for it
/// any more.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
