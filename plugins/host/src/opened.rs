//! One instance of a stage, for one app: what the plugin made, and how it is called.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::loaded::Loaded;
use crate::queue::Work;
use crate::reply::Reply;
use crate::resident::{Instance, Resident, count};
use crate::trouble::{Fault, Trouble};

/// What the plugin calls an instance.
#[derive(Clone, Copy)]
pub(crate) struct Itself(*mut c_void);

impl Itself {
    pub(crate) fn new(itself: *mut c_void) -> Itself {
        Itself(itself)
    }

    pub(crate) fn pointer(self) -> *mut c_void {
        self.0
    }
}

// SAFETY: the pointer is the plugin's and only ever given back to it, in one call at a time, as the contract says.
unsafe impl Send for Itself {}
// SAFETY: as above; a shared reference to it gives nothing but the pointer.
unsafe impl Sync for Itself {}

/// An instance that lives until the last of these is dropped.
pub(crate) struct Opened<T> {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) itself: Itself,
    pub(crate) table: T,
    pub(crate) stage: &'static str,
}

impl<T> Opened<T> {
    pub(crate) fn new(
        loaded: Arc<Loaded>,
        instance: Arc<Instance>,
        itself: Itself,
        table: T,
        stage: &'static str,
    ) -> Opened<T> {
        Opened { loaded, instance, itself, table, stage }
    }

    pub(crate) fn resident(&self) -> &'static Resident {
        self.loaded.resident
    }
}

impl<T: Send + Sync + 'static> Opened<T> {
    /// Has `call` done on the plugin's thread, and waits for it.
    pub(crate) async fn call<R: Send + 'static>(
        self: &Arc<Self>,
        function: &'static str,
        wait: Duration,
        call: impl FnOnce(&Opened<T>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let reply = self.queue(call)?;
        reply.wait(wait).await.unwrap_or_else(|| Err(self.late(function, wait)))
    }

    /// The same, for callers outside a runtime.
    pub(crate) fn call_blocking<R: Send + 'static>(
        self: &Arc<Self>,
        function: &'static str,
        wait: Duration,
        call: impl FnOnce(&Opened<T>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let reply = self.queue(call)?;
        reply.wait_blocking(wait).unwrap_or_else(|| Err(self.late(function, wait)))
    }

    fn queue<R: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Opened<T>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<Arc<Reply<R>>, Fault> {
        let reply = Reply::new();
        let (opened, answer) = (Arc::clone(self), Arc::clone(&reply));
        let run = Box::new(move || {
            if !answer.answer(call(&opened)) {
                count(&opened.resident().counted.late);
            }
        });
        let waiting = Arc::clone(&reply);
        self.resident().queue(Work::Call { waiting, run })?;
        Ok(reply)
    }

    fn late(&self, function: &'static str, wait: Duration) -> Fault {
        Fault::Trouble(Trouble::Late { plugin: self.resident().name, function, wait })
    }
}

impl<T> Drop for Opened<T> {
    /// The plugin ends the instance on its own thread. A parked one is not called any more, and keeps it.
    fn drop(&mut self) {
        let (loaded, instance, itself) = (Arc::clone(&self.loaded), Arc::clone(&self.instance), self.itself);
        let destroy = Box::new(move || {
            loaded.resident.cross("destroy", || {
                // SAFETY: the function of the plugin's table, with what its `create` gave; this is the last call with it,
                // for whoever could make another has been dropped.
                unsafe { (loaded.tables.destroy)(itself.pointer()) }
            });
            loaded.resident.forget_instance(instance.id);
        });
        if self.resident().queue(Work::Destroy(destroy)).is_err() {
            self.resident().forget_instance(self.instance.id);
        }
    }
}

impl<T> fmt::Debug for Opened<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stage)
    }
}
