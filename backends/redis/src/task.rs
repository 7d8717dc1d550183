use tokio::task::AbortHandle;

/// A background task that ends with its owner.
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Spawns on the current runtime.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }

    pub(crate) fn end(&self) {
        self.0.abort();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
