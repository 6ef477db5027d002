//! Measures the data folder and its disk now and then, in a thread of its own: a disk may take long to answer.

use std::sync::Arc;
use std::time::Duration;

use super::{ServerError, spawn};
use crate::admin::shared::Shared;
use crate::data_folder;
use crate::space::{DiskUsage, measure};

/// From one measurement to the next.
const PERIOD: Duration = Duration::from_secs(5);

/// Begins to measure, for as long as the process runs.
pub fn watch(shared: Arc<Shared>) -> Result<(), ServerError> {
    spawn("space".to_owned(), move || {
        loop {
            // A folder that is not there yet, or that can't be read, is measured the next time.
            if let Ok(usage) = measure(&shared.config.started_with().dir) {
                shared.space.tell(usage);
                publish(&shared, usage);
            }
            // People remove what was set aside under a running node, too.
            let set_aside = data_folder::set_aside(&shared.config.started_with().dir);
            shared.metrics.integrity.set_aside.set(set_aside.len() as u64);
            std::thread::sleep(PERIOD);
        }
    })
}

fn publish(shared: &Shared, usage: DiskUsage) {
    let disk = &shared.metrics.disk;
    disk.log_bytes.set(usage.log_bytes);
    disk.checkpoint_bytes.set(usage.checkpoint_bytes);
    disk.other_bytes.set(usage.other_bytes);
    disk.free_bytes.set(usage.free_bytes);
    disk.total_bytes.set(usage.total_bytes);
}
