//! Geohashes: cells of a grid that is halved in both directions at each step, numbered by their bits in turns.
//!
//! Source: geohash.c in Redis.

use super::globe::Position;

/// Steps of a score.
pub const SCORE_STEPS: u32 = 26;
const SCORE_BITS: u32 = 2 * SCORE_STEPS;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degrees {
    pub min: f64,
    pub max: f64,
}

impl Degrees {
    fn width(self) -> f64 {
        self.max - self.min
    }

    /// How many of `1 << steps` parts lie before a coordinate.
    fn part(self, coordinate: f64, steps: u32) -> u32 {
        ((coordinate - self.min) / self.width() * (1_u64 << steps) as f64) as u32
    }

    /// Where a part begins.
    fn start(self, part: u32, steps: u32) -> f64 {
        self.min + f64::from(part) / (1_u64 << steps) as f64 * self.width()
    }
}

/// What a hash of a place is relative to.
#[derive(Clone, Copy, Debug)]
pub struct World {
    longitude: Degrees,
    latitude: Degrees,
}

/// That of scores: Mercator's map, without the poles.
pub const MAP: World = World {
    longitude: Degrees { min: -180.0, max: 180.0 },
    latitude: Degrees { min: -85.05112878, max: 85.05112878 },
};
/// That of the texts that GEOHASH answers.
pub const GLOBE: World =
    World { longitude: Degrees { min: -180.0, max: 180.0 }, latitude: Degrees { min: -90.0, max: 90.0 } };

/// A cell of a grid with 4 to the power of `steps` cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub bits: u64,
    pub steps: u32,
}

/// What a cell covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub longitude: Degrees,
    pub latitude: Degrees,
}

const EVEN_BITS: u64 = 0x5555_5555_5555_5555;
const ODD_BITS: u64 = !EVEN_BITS;

/// The masks and shifts by which bits are spread, the widest last.
const SPREAD: [(u64, u32); 5] = [
    (EVEN_BITS, 1),
    (0x3333_3333_3333_3333, 2),
    (0x0f0f_0f0f_0f0f_0f0f, 4),
    (0x00ff_00ff_00ff_00ff, 8),
    (0x0000_ffff_0000_ffff, 16),
];

/// Puts the bits of a number at even places.
fn spread(number: u32) -> u64 {
    SPREAD.iter().rev().fold(u64::from(number), |bits, (mask, shift)| (bits | bits << shift) & mask)
}

/// Takes the bits at even places.
fn gathered(bits: u64) -> u32 {
    let after = SPREAD[1..].iter().map(|(mask, _)| *mask).chain([0xffff_ffff]);
    let steps = SPREAD.iter().map(|(_, shift)| *shift).zip(after);
    steps.fold(bits & EVEN_BITS, |bits, (shift, mask)| (bits | bits >> shift) & mask) as u32
}

impl World {
    /// The cell of a position.
    pub fn cell(self, position: Position, steps: u32) -> Cell {
        let latitude = spread(self.latitude.part(position.latitude, steps));
        let longitude = spread(self.longitude.part(position.longitude, steps));
        Cell { bits: latitude | longitude << 1, steps }
    }

    pub fn bounds(self, cell: Cell) -> Bounds {
        let span = |world: Degrees, part: u32| Degrees {
            min: world.start(part, cell.steps),
            max: world.start(part.wrapping_add(1), cell.steps),
        };
        Bounds {
            longitude: span(self.longitude, gathered(cell.bits >> 1)),
            latitude: span(self.latitude, gathered(cell.bits)),
        }
    }
}

impl Cell {
    /// The scores of the cell: from the first one up to the second, which is not in it.
    pub fn scores(self) -> (f64, f64) {
        let shift = SCORE_BITS - 2 * self.steps;
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }

    /// The cell so many to the east and to the north: 1, 0 or -1. The grid is round.
    pub fn moved(self, east: i8, north: i8) -> Cell {
        let used = u64::MAX >> (64 - 2 * self.steps);
        let moved = |all: u64, by: i8| {
            let own = all & used;
            let (bits, others) = (self.bits & own, used & !own);
            match by {
                // At the very edge of the map a cell is beyond the grid, and stays there, as in Redis.
                0 => self.bits & all,
                // Ones at the other places carry over to the next own one, zeros borrow from it.
                1.. => (bits | others).wrapping_add(own & own.wrapping_neg()) & own,
                _ => bits.wrapping_sub(own & own.wrapping_neg()) & own,
            }
        };
        let (longitude, latitude) = (moved(ODD_BITS, east), moved(EVEN_BITS, north));
        Cell { bits: longitude | latitude, ..self }
    }
}

/// The score of a position.
pub fn score(position: Position) -> f64 {
    MAP.cell(position, SCORE_STEPS).bits as f64
}

/// The position of a score: the middle of its cell.
pub fn position(score: f64) -> Position {
    let Bounds { longitude, latitude } = MAP.bounds(Cell { bits: bits_of(score), steps: SCORE_STEPS });
    let middle = |span: Degrees, world: Degrees| ((span.min + span.max) / 2.0).min(world.max).max(world.min);
    Position { longitude: middle(longitude, MAP.longitude), latitude: middle(latitude, MAP.latitude) }
}

/// The bits of any score, of those also that no position has: what an x86-64 makes of the number where Redis converts it.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    // A number that 64 bits do not hold becomes this.
    let truncated = |number: f64| if (-HALF..HALF).contains(&number) { number as i64 } else { i64::MIN };
    if score < HALF { truncated(score) as u64 } else { truncated(score - HALF) as u64 ^ 1 << 63 }
}

/// A geohash as it is written everywhere, with 11 characters; the last says nothing, for a score has too few bits.
pub fn text(position: Position) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = GLOBE.cell(position, SCORE_STEPS).bits;
    std::array::from_fn(|place| match place {
        10 => ALPHABET[0],
        _ => ALPHABET[(bits >> (SCORE_BITS - 5 * (place as u32 + 1))) as usize % 32],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_is_in_its_cell(
            longitude in -180.0..180.0, latitude in -85.0..85.0, steps in 1_u32..=26,
        ) {
            let cell = MAP.cell(Position { longitude, latitude }, steps);
            let bounds = MAP.bounds(cell);
            prop_assert!((bounds.longitude.min..=bounds.longitude.max).contains(&longitude));
            prop_assert!((bounds.latitude.min..=bounds.latitude.max).contains(&latitude));
            let (first, end) = cell.scores();
            let score = score(Position { longitude, latitude });
            prop_assert!((first..end).contains(&score));
            let back = position(score);
            prop_assert!((back.longitude - longitude).abs() < 1e-5 && (back.latitude - latitude).abs() < 1e-5);
        }

        #[test]
        fn neighbours_are_side_by_side(x: u32, y: u32, steps in 1_u32..=26, east in -1_i8..=1, north in -1_i8..=1) {
            let most = (1_u64 << steps) - 1;
            let (x, y) = (u64::from(x) & most, u64::from(y) & most);
            let cell = Cell { bits: spread(y as u32) | spread(x as u32) << 1, steps };
            let moved = cell.moved(east, north);
            let by = |place: u64, by: i8| place.wrapping_add_signed(by.into()) & most;
            prop_assert_eq!(u64::from(gathered(moved.bits >> 1)), by(x, east));
            prop_assert_eq!(u64::from(gathered(moved.bits)), by(y, north));
            prop_assert_eq!(moved.bits >> (2 * steps), 0);
        }

        #[test]
        fn any_score_has_a_position(bits: u64) {
            let score = f64::from_bits(bits);
            if !score.is_nan() {
                prop_assert!(position(score).is_on_map());
            }
        }
    }

    #[test]
    fn scores_beyond_64_bits_become_what_a_processor_makes_of_them() {
        assert_eq!(bits_of(3.9), 3);
        assert_eq!(bits_of(-1.0), u64::MAX);
        assert_eq!(bits_of(9_223_372_036_854_775_808.0), 1 << 63);
        assert_eq!(bits_of(1e19), 10_000_000_000_000_000_000);
        assert_eq!(bits_of(f64::INFINITY), 0);
        assert_eq!(bits_of(f64::NEG_INFINITY), 1 << 63);
    }
}
