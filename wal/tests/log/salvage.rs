//! What can be saved of a damaged log, and that all that is given up is named.

use perdura_wal::format::{BLOCK_BYTES, RECORD_HEADER_BYTES};
use perdura_wal::{
    Disk, LogView, NewLog, Options, Position, Record, Salvage, Salvaged, SimDisk, Tear, Wal, WalError,
    sound_metadata,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SECOND: &str = "00000000000000000002.wal";
/// Of an entry of 900 bytes.
const RECORD_BYTES: u64 = RECORD_HEADER_BYTES as u64 + 900;

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        spare_segments: 1,
        create: Some(NewLog { log_id: 0x1234, metadata: b"whose it is".to_vec() }),
        ..Options::default()
    }
}

/// A log of 60 entries, each a batch of its own, and the names of its segments in use.
fn log() -> Result<(SimDisk, Vec<String>)> {
    let disk = SimDisk::new(7, Tear::Sectors, 1);
    let (mut wal, _) = Wal::open(disk.clone(), options())?;
    let preparer = wal.take_preparer();
    for index in 1..=60 {
        wal.stage(Record { index, term: 1, payload: &[index as u8; 900] })?;
        wal.commit()?;
        while preparer.step()? {}
    }
    let segments: Vec<_> = wal.segments().collect();
    let last = segments.last().and_then(|segment| segment.entries).ok_or("the last one has entries")?;
    assert!(segments.len() >= 3 && last.1 > last.0, "{segments:?}");
    Ok((disk, segments.into_iter().map(|segment| segment.file).collect()))
}

fn salvage(disk: &SimDisk) -> Result<Salvage<SimDisk>> {
    let nothing = Position::default();
    match LogView::salvage(disk.clone(), nothing, &mut |_| {})? {
        Salvaged::Log(salvage) => Ok(*salvage),
        Salvaged::Nothing(_) => Err("something can be saved".into()),
    }
}

#[test]
fn an_active_segment_that_is_given_up_is_named() -> Result {
    type Damage = fn(&SimDisk, &str) -> Result;
    let damages: [(&str, Damage); 3] = [
        ("a bit of the header", |disk, last| Ok(disk.flip_bit(last, 17, 3)?)),
        ("a header that can't be read", |disk, last| Ok(disk.fail_reads(last, 0..512)?)),
        ("a file that is missing", |disk, last| Ok(disk.remove(last)?)),
    ];
    for (what, damage) in damages {
        let (disk, segments) = log()?;
        let last = segments.last().ok_or("it has segments")?;
        damage(&disk, last)?;
        let salvage = salvage(&disk)?;
        let names: Vec<_> = salvage.damage.iter().filter_map(WalError::file).collect();
        assert_eq!(names, [last], "{what}");
        assert!(salvage.view.last().index < 60, "{what}");
    }
    Ok(())
}

#[test]
fn damage_is_named_once() -> Result {
    let (disk, _) = log()?;
    disk.flip_bit(SECOND, BLOCK_BYTES + 4000, 3)?;
    let salvage = salvage(&disk)?;
    let names: Vec<_> = salvage.damage.iter().filter_map(WalError::file).collect();
    assert_eq!(names, [SECOND]);
    Ok(())
}

#[test]
fn a_sector_that_cannot_be_read_costs_no_entry_before_it() -> Result {
    let (whole, segments) = log()?;
    let all = entries(&salvage(&whole)?)?;
    for (segment, name) in segments.iter().enumerate() {
        for place in [BLOCK_BYTES, 9216, 12800] {
            let (disk, _) = log()?;
            disk.fail_reads(name, place..place + 512)?;
            let salvage = match LogView::salvage(disk, Position::default(), &mut |_| {})? {
                Salvaged::Log(salvage) => *salvage,
                // It is the very first batch that can't be read.
                Salvaged::Nothing(_) if segment == 0 && place == BLOCK_BYTES => continue,
                Salvaged::Nothing(_) => return Err(format!("{name}, {place}: nothing was saved").into()),
            };
            let found = entries(&salvage)?;
            assert_eq!(found, all[..found.len()], "{name}, {place}");
            let before = all.iter().filter(|entry| ends_before(entry, name, place)).count();
            assert_eq!(found.len(), before, "{name}, {place}");
            let errors: Vec<_> = salvage.damage.iter().map(WalError::is_unreadable).collect();
            assert_eq!(errors, [true], "{name}, {place}: {:?}", salvage.damage);
        }
    }
    Ok(())
}

/// An entry's index, and where it lies.
type Placed = (u64, String, u64);

fn entries(salvage: &Salvage<SimDisk>) -> Result<Vec<Placed>> {
    let (view, mut all) = (&salvage.view, Vec::new());
    view.visit_entries(view.first_index(), view.last().index, |entry| -> Result {
        all.push((entry.index, entry.file, entry.offset));
        Ok(())
    })?;
    Ok(all)
}

fn ends_before((_, file, offset): &Placed, name: &str, place: u64) -> bool {
    file.as_str() < name || (file == name && offset + RECORD_BYTES <= place)
}

#[test]
fn the_folder_is_held_where_nothing_after_the_checkpoint_can_be_saved() -> Result {
    let (disk, _) = log()?;
    let checkpoint = Position { index: 61, term: 1 };
    let salvaged = LogView::salvage(disk.clone(), checkpoint, &mut |_| {})?;
    assert!(matches!(salvaged, Salvaged::Nothing(_)));
    let refused = Wal::open(disk.clone(), options()).map(|_| ());
    assert!(matches!(refused, Err(WalError::InUse)), "{refused:?}");
    drop(salvaged);
    Wal::open(disk, options())?;
    Ok(())
}

#[test]
fn a_damaged_log_still_tells_whose_it_is() -> Result {
    let (whole, segments) = log()?;
    let told =
        |disk: &SimDisk| sound_metadata(disk).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(told(&whole).as_deref(), Some("whose it is"));
    for segment in &segments {
        let (disk, _) = log()?;
        disk.flip_bit(segment, BLOCK_BYTES + 40, 3)?;
        assert_eq!(told(&disk).as_deref(), Some("whose it is"), "{segment}");
    }
    let (disk, _) = log()?;
    for segment in &segments {
        disk.flip_bit(segment, BLOCK_BYTES + 4, 3)?;
    }
    assert_eq!(told(&disk), None);
    assert_eq!(told(&SimDisk::new(7, Tear::Sectors, 1)), None);
    Ok(())
}
