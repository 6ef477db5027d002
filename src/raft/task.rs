//! A task that ends when its owner lets go of it.

use tokio::task::AbortHandle;

#[derive(Debug)]
pub(super) struct OwnedTask(AbortHandle);

impl OwnedTask {
    /// Starts a task on the current runtime.
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> OwnedTask {
        OwnedTask(tokio::spawn(task).abort_handle())
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
