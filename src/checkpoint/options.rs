//! How RocksDB is set up: what differs from its defaults, and why.
//!
//! The store is written in sorted runs and read twice: a head at a time while a run is written, and as a whole at a restart.
//! Nothing of it is needed while the server serves, so it gets little memory, few threads and few open files.

use std::sync::LazyLock;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, InfoLogger, IngestExternalFileOptions,
    LogLevel, Options, ReadOptions, WriteOptions,
};

/// The column family of roots; every RocksDB has this one.
pub const ROOTS: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;
/// The column family of parts.
pub const PARTS: &str = "parts";

/// Bytes after which a sorted file is ended. Files are what a compaction rewrites and what a follower is sent.
pub const FILE_BYTES: u64 = 64 << 20;

/// Blocks, indexes and filters together.
const CACHE_BYTES: usize = 32 << 20;
/// Larger than the default: a run and a restart read in order, and larger blocks compress better.
const BLOCK_BYTES: usize = 16 << 10;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// All that ever comes into a memtable are deletions of ranges.
const MEMTABLE_BYTES: usize = 4 << 20;
const OPEN_FILES: i32 = 128;
/// One flush and one compaction at a time: the cores are the server's.
const BACKGROUND_JOBS: i32 = 2;
const REFILL_US: i64 = 100_000;
const FAIRNESS: i32 = 10;
const READAHEAD_BYTES: usize = 1 << 20;

/// What the writers of sorted files go by. They keep a reference for as long as they live.
pub static SORTED_FILES: LazyLock<Options> = LazyLock::new(|| {
    let mut options = Options::default();
    set_tables(&mut options, &tables());
    options
});

/// The database as a whole. Compactions write at most so many bytes a second; 0 stands for no limit.
pub fn database(bytes_per_second: u64) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    if let Ok(limit @ 1..) = i64::try_from(bytes_per_second) {
        options.set_ratelimiter(limit, REFILL_US, FAIRNESS);
    }
    // Its own messages go where the server's go, and leave no file in a published checkpoint that is opened for reading.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// The column families: both the same.
pub fn families() -> [(&'static str, Options); 2] {
    let mut tables = tables();
    // Indexes and filters count as blocks, so that the cache's size is a bound for all of them.
    tables.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_top_level_index_and_filter(true);
    [ROOTS, PARTS].map(|name| {
        let mut options = Options::default();
        set_tables(&mut options, &tables);
        options.set_write_buffer_size(MEMTABLE_BYTES);
        options.set_target_file_size_base(FILE_BYTES);
        (name, options)
    })
}

/// A checkpoint is whole files, each synced: a log of RocksDB's own would be written for nothing.
pub fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// Sorted files are linked, not copied. Nobody reads while one comes in.
pub fn ingestion() -> IngestExternalFileOptions {
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    options.set_snapshot_consistency(false);
    options
}

/// Reading all of it once: nothing of that is worth keeping in the cache.
pub fn scan() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    options
}

fn tables() -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_size(BLOCK_BYTES);
    // Most keys of a first run, and all new ones, are in no file: the filter spares looking.
    tables.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    // In partitions, so that a file's index and filter need not be in memory as a whole.
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables
}

fn set_tables(options: &mut Options, tables: &BlockBasedOptions) {
    options.set_block_based_table_factory(tables);
    options.set_compression_type(DBCompressionType::Lz4);
}

fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!("RocksDB: {message}"),
        // What it warns of is its own housekeeping: an operator has nothing to do.
        LogLevel::Warn | LogLevel::Debug | LogLevel::Info | LogLevel::Header => {
            tracing::debug!("RocksDB: {message}")
        }
    }
}
