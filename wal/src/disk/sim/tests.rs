use super::*;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn disk(tear: Tear) -> SimDisk {
    SimDisk::new(1, tear, 1)
}

/// A durable file of 8 KiB of ones.
fn with_file(disk: &SimDisk) -> io::Result<SimFile> {
    let file = disk.create("a", 0)?;
    file.write_durably(&[1; 8192], 0)?;
    disk.sync_dir()?;
    Ok(file)
}

/// Crashes in the write that follows, over and over, and gathers what is left of it.
fn torn_writes(tear: Tear) -> std::result::Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    (0..50)
        .map(|seed| {
            let disk = SimDisk::new(seed, tear, 1);
            let file = with_file(&disk)?;
            disk.crash_at(disk.operations() + 1);
            assert!(file.write_durably(&[2; 3000], 1000).is_err());
            Ok(disk.crash().bytes("a")?)
        })
        .collect()
}

#[test]
fn what_was_synced_survives_and_a_name_needs_its_own_sync() -> Result {
    let disk = disk(Tear::Sectors);
    with_file(&disk)?;
    let disk = disk.crash();
    assert_eq!(disk.bytes("a")?, [1; 8192]);

    disk.create("b", 0)?.write_durably(&[3; 10], 0)?;
    let outcomes: Vec<bool> = (0..20)
        .map(|seed| {
            let disk = SimDisk::new(seed, Tear::Sectors, 1);
            disk.create("b", 0).expect("create");
            disk.crash().bytes("b").is_ok()
        })
        .collect();
    assert!(outcomes.contains(&true) && outcomes.contains(&false));
    Ok(())
}

#[test]
fn torn_sectors_are_old_or_new() -> Result {
    let mut mixed = false;
    for bytes in torn_writes(Tear::Sectors)? {
        assert_eq!(bytes[..1000], [1; 1000]);
        assert_eq!(bytes[4000..], [1; 4192]);
        for piece in [1000..1024, 1024..1536, 1536..2048, 3584..4000] {
            let first = bytes[piece.start];
            assert!(bytes[piece].iter().all(|&b| b == first));
        }
        mixed |= bytes[1000] != bytes[1024];
    }
    assert!(mixed);
    Ok(())
}

#[test]
fn torn_bytes_are_a_prefix() -> Result {
    let mut cuts = Vec::new();
    for bytes in torn_writes(Tear::Bytes)? {
        let new = bytes.iter().filter(|&&b| b == 2).count();
        assert_eq!(bytes[1000..1000 + new], vec![2; new]);
        cuts.push(new);
    }
    assert!(cuts.iter().any(|&cut| cut % 512 != 24 && cut != 0));
    Ok(())
}

#[test]
fn a_torn_block_may_be_destroyed_with_all_that_was_in_it() -> Result {
    let destroyed = torn_writes(Tear::Blocks)?.iter().filter(|bytes| bytes[..1000] != [1; 1000]).count();
    assert!(destroyed > 0);
    Ok(())
}

#[test]
fn a_failed_sync_may_lose_what_reads_still_show() -> Result {
    let mut lost = false;
    for seed in 0..20 {
        let disk = SimDisk::new(seed, Tear::Sectors, 1);
        let file = with_file(&disk)?;
        disk.fail_at(disk.operations() + 1);
        let error = file.write_durably(&[2; 10], 0).expect_err("planned");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        file.sync()?;
        assert_eq!(disk.bytes("a")?[..10], [2; 10]);
        let medium = Disk::read_all(&disk, "a")?;
        lost |= medium.as_ref()[..10] == [1; 10];
        assert_eq!(disk.bytes("a")?, medium.as_ref(), "and no longer once the medium was read");
    }
    assert!(lost);
    Ok(())
}

#[test]
fn handles_of_a_former_life_are_dead() -> Result {
    let disk = disk(Tear::Sectors);
    let file = with_file(&disk)?;
    let _held = Disk::lock(&disk)?;
    assert!(Disk::lock(&disk).is_err(), "held");
    let next = disk.kill();
    assert!(file.write_durably(&[2], 0).is_err());
    assert!(disk.list().is_err());
    assert_eq!(next.list()?, ["a"]);
    Disk::lock(&next)?;
    Ok(())
}

#[test]
fn a_full_disk_refuses_to_grow() -> Result {
    let disk = disk(Tear::Sectors);
    let file = with_file(&disk)?;
    disk.set_capacity(Some(8192));
    file.write_durably(&[2; 10], 8182)?;
    let error = file.write_durably(&[2; 10], 8183).expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_bytes() -> Result {
    for tear in [Tear::Sectors, Tear::Bytes, Tear::Blocks] {
        assert_eq!(torn_writes(tear)?, torn_writes(tear)?);
    }
    Ok(())
}
