use super::*;

const SEED: u32 = 0xdead_beef;

fn header() -> SegmentHeader {
    SegmentHeader { log_id: 1, sequence: 2, first_index: 3, previous_end: 4096, previous_crc: 5, epoch: 6 }
}

fn batch() -> BatchHeader {
    BatchHeader { padded: false, body_bytes: 100, records: 3, epoch: 6, previous_crc: 7 }
}

fn encoded_batch(offset: u64) -> [u8; BATCH_HEADER_BYTES] {
    let mut bytes = [0; BATCH_HEADER_BYTES];
    batch().encode(&mut bytes, SEED, offset);
    bytes
}

fn encoded_record(payload: &[u8], batch_crc: u32) -> Vec<u8> {
    let record = RawRecord { kind: Kind::Entry, index: 8, term: 9, payload };
    let mut bytes = record.encode_header().to_vec();
    bytes.extend_from_slice(payload);
    seal_record(&mut bytes, batch_crc);
    bytes
}

#[test]
fn headers_and_records_come_back() {
    let (bytes, crc) = header().encode();
    assert_eq!(SegmentHeader::decode(&bytes), Ok((header(), crc)));
    let (decoded, _) = BatchHeader::decode(&encoded_batch(4096), SEED, 4096).expect("sound");
    assert_eq!(decoded, batch());
    let bytes = encoded_record(b"payload", 10);
    let record = RawRecord::decode(&bytes, 10).expect("sound");
    assert_eq!((record.index, record.term, record.payload), (8, 9, &b"payload"[..]));
}

#[test]
fn zeros_are_unwritten_space_whatever_their_number() {
    for length in [SEGMENT_HEADER_BYTES, 4096] {
        assert_eq!(SegmentHeader::decode(&vec![0; length]), Err(Fault::Unwritten));
        assert_eq!(BatchHeader::decode(&vec![0; length], SEED, 4096), Err(Fault::Unwritten));
    }
    assert!(RawRecord::decode(&[0; 64], SEED).is_err());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (segment, _) = header().encode();
    for bit in 0..segment.len() * 8 {
        let mut bytes = segment;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
    }
    let sound = encoded_batch(4096);
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(BatchHeader::decode(&bytes, SEED, 4096).is_err(), "bit {bit}");
    }
    let sound = encoded_record(b"payload", 10);
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(RawRecord::decode(&bytes, 10).is_err(), "bit {bit}");
    }
}

#[test]
fn bytes_of_another_place_are_not_taken() {
    let bytes = encoded_batch(4096);
    assert!(BatchHeader::decode(&bytes, SEED, 4104).is_err(), "another offset");
    assert!(BatchHeader::decode(&bytes, SEED + 1, 4096).is_err(), "another segment");
    let bytes = encoded_record(b"payload", 10);
    assert!(RawRecord::decode(&bytes, 11).is_err(), "another batch");
}

#[test]
fn seeds_differ_by_log_and_by_sequence() {
    let mut seeds: Vec<u32> =
        (0..4).flat_map(|log| (0..1000).map(move |sequence| segment_seed(log, sequence))).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 4000);
}

#[test]
fn a_version_bump_is_no_magic_fault_and_no_damage() {
    let (mut bytes, _) = header().encode();
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(Fault::Version { found: 9 }));
}

#[test]
fn what_is_cut_short_announces_more_than_there_is() {
    let bytes = encoded_record(b"payload", 10);
    for length in 0..bytes.len() {
        let fault = RawRecord::decode(&bytes[..length], 10).expect_err("cut short");
        assert!(matches!(fault, Fault::Length { room, .. } if room == length as u64));
    }
}

#[test]
fn an_absurd_length_is_refused_before_anything_is_read() {
    let mut bytes = encoded_record(b"payload", 10);
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let fault = RawRecord::decode(&bytes, 10).expect_err("absurd");
    assert!(matches!(fault, Fault::Length { announced: 0xffff_ffff, .. }));
    let absurd = BatchHeader { body_bytes: u64::MAX, ..batch() };
    assert_eq!(absurd.next_offset(4096), None);
}

#[test]
fn batches_begin_at_eight_bytes_or_at_a_block() {
    assert_eq!(batch().next_offset(4096), Some(4096 + 136));
    assert_eq!(BatchHeader { padded: true, ..batch() }.next_offset(4096), Some(8192));
}
