//! Which cells of the grid cover a shape: that of its center, and its neighbours.
//!
//! Source: `geohashCalculateAreasByShapeWGS84` in Redis's geohash_helper.c.

use super::globe::{EARTH_RADIUS, Extent, Shape, degrees, radians};
use super::hash::{Bounds, Cell, Degrees, MAP, SCORE_STEPS};

/// Half the width of Mercator's map, in meters.
const HALF_WIDTH: f64 = 20_037_726.37;

/// The cells in which the positions of a shape are, in the order in which Redis searches them; each once.
pub fn covering(shape: Shape) -> Vec<Cell> {
    let bounds = bounds_of(shape);
    let mut steps = steps_for(shape);
    let mut center = MAP.cell(shape.center, steps);
    if steps > 1 && !neighbours_reach(center, bounds) {
        steps -= 1;
        center = MAP.cell(shape.center, steps);
    }
    let own = MAP.bounds(center);
    // A neighbour is left out where the center's own cell reaches past the shape.
    let (south, north) = (own.latitude.min < bounds.latitude.min, own.latitude.max > bounds.latitude.max);
    let (west, east) = (own.longitude.min < bounds.longitude.min, own.longitude.max > bounds.longitude.max);
    let is_useless = |(to_east, to_north): (i8, i8)| {
        let sides = [(to_east > 0, east), (to_east < 0, west), (to_north > 0, north), (to_north < 0, south)];
        steps >= 2 && sides.into_iter().any(|(is_there, reaches)| is_there && reaches)
    };
    const NEIGHBOURS: [(i8, i8); 8] = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
    let mut cells = vec![center];
    for (to_east, to_north) in NEIGHBOURS.into_iter().filter(|side| !is_useless(*side)) {
        let cell = center.moved(to_east, to_north);
        // In a grid of four cells neighbours meet.
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    cells
}

/// What lies within a shape, wider than that towards a pole. Bounds of an endless shape may be no numbers.
fn bounds_of(shape: Shape) -> Bounds {
    let (width, height) = match shape.extent {
        Extent::Circle { radius } => (radius, radius),
        Extent::Box { width, height } => (width / 2.0, height / 2.0),
    };
    let (longitude, latitude) = (shape.center.longitude, shape.center.latitude);
    let north = degrees(height / EARTH_RADIUS);
    let widest_at = if latitude < 0.0 { latitude - north } else { latitude + north };
    let east = degrees(width / EARTH_RADIUS / libm::cos(radians(widest_at)));
    Bounds {
        longitude: Degrees { min: longitude - east, max: longitude + east },
        latitude: Degrees { min: latitude - north, max: latitude + north },
    }
}

/// Steps of a grid whose cells are about as large as the shape.
fn steps_for(shape: Shape) -> u32 {
    let mut radius = match shape.extent {
        Extent::Circle { radius } => radius,
        Extent::Box { width, height } => (width / 2.0 * (width / 2.0) + height / 2.0 * (height / 2.0)).sqrt(),
    };
    if radius == 0.0 {
        return SCORE_STEPS;
    }
    let mut steps = 1_i32;
    while radius < HALF_WIDTH {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells are narrower towards the poles.
    let latitude = shape.center.latitude.abs();
    steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
    steps.clamp(1, SCORE_STEPS as i32) as u32
}

/// Whether the neighbours of a cell reach as far as the bounds.
fn neighbours_reach(center: Cell, bounds: Bounds) -> bool {
    let neighbour = |east, north| MAP.bounds(center.moved(east, north));
    let falls_short = neighbour(0, 1).latitude.max < bounds.latitude.max
        || neighbour(0, -1).latitude.min > bounds.latitude.min
        || neighbour(1, 0).longitude.max < bounds.longitude.max
        || neighbour(-1, 0).longitude.min > bounds.longitude.min;
    !falls_short
}
