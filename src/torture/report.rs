//! The folder that a run leaves behind.
//!
//! - `summary.json`: the verdict and all figures. `history.jsonl`: every operation, one a line, as `perdura-proof` writes and reads
//!   it. `faults.jsonl`: every fault, one a line. `report.html`: all of that for people, one page without anything from
//!   outside.
//! - The page is written last: where it is, the others are whole.

mod charts;
mod page;
mod repeat;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use perdura_proof::History;

use super::TortureError;
use super::nemesis::FaultRecord;
use super::series::Series;
use super::summary::Summary;

/// Writes all files.
pub fn write(
    dir: &Path,
    summary: &Summary,
    history: &History,
    faults: &[FaultRecord],
    series: &Series,
) -> Result<(), TortureError> {
    let mut file = create(dir, "history.jsonl")?;
    history.write(&mut file)?;
    file.flush()?;
    let mut file = create(dir, "faults.jsonl")?;
    for fault in faults {
        serde_json::to_writer(&mut file, fault)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    let mut file = create(dir, "summary.json")?;
    serde_json::to_writer_pretty(&mut file, summary)?;
    file.flush()?;
    let mut file = create(dir, "report.html")?;
    file.write_all(page::page(summary, faults, series).as_bytes())?;
    file.flush()?;
    Ok(())
}

fn create(dir: &Path, name: &str) -> Result<BufWriter<File>, TortureError> {
    let path = dir.join(name);
    match File::create(&path) {
        Ok(file) => Ok(BufWriter::new(file)),
        Err(source) => Err(TortureError::File { path, source }),
    }
}
