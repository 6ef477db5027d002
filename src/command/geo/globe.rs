//! Positions, distances between them, and shapes that hold some.
//!
//! Source: geohash_helper.c in Redis.

use std::f64::consts::PI;

/// The quadratic mean radius of WGS 84, in meters.
pub const EARTH_RADIUS: f64 = 6_372_797.560856;
const DEGREE: f64 = PI / 180.0;

pub fn radians(degrees: f64) -> f64 {
    degrees * DEGREE
}

pub fn degrees(radians: f64) -> f64 {
    radians / DEGREE
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

impl Position {
    pub fn is_on_map(self) -> bool {
        (-180.0..=180.0).contains(&self.longitude) && (-85.05112878..=85.05112878).contains(&self.latitude)
    }

    /// Meters on the great circle; never NaN.
    pub fn distance(self, other: Position) -> f64 {
        let v = libm::sin((radians(other.longitude) - radians(self.longitude)) / 2.0);
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = libm::sin((to - from) / 2.0);
        let a = u * u + libm::cos(from) * libm::cos(to) * v * v;
        // Rounding may take opposite positions beyond 1.
        2.0 * EARTH_RADIUS * libm::asin(a.sqrt().min(1.0))
    }

    fn latitude_distance(self, other: Position) -> f64 {
        EARTH_RADIUS * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

/// In meters, around a center.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub center: Position,
    pub extent: Extent,
}

impl Shape {
    /// The distance of a position from the center; `None` if it is outside.
    pub fn distance(self, position: Position) -> Option<f64> {
        match self.extent {
            Extent::Circle { radius } => {
                Some(self.center.distance(position)).filter(|distance| *distance <= radius)
            }
            Extent::Box { width, height } => {
                if self.center.latitude_distance(position) > height / 2.0 {
                    return None;
                }
                let beside = Position { longitude: self.center.longitude, ..position };
                let is_inside = position.distance(beside) <= width / 2.0;
                is_inside.then(|| self.center.distance(position))
            }
        }
    }
}
