//! The trace that a request belongs to, known to whatever is done for it without being handed from call to call: as the log
//! is, it is about all of them and the matter of none.

use std::future::Future;

use tidings_model::trace::TraceContext;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Does that work as part of the trace that a caller named.
pub async fn within<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

/// The same for work that a task of its own goes on with, where the caller may have named none.
pub async fn carried<F: Future>(context: Option<TraceContext>, work: F) -> F::Output {
    match context {
        Some(context) => within(context, work).await,
        None => work.await,
    }
}

/// The trace that is worked for, if a caller named one.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}
