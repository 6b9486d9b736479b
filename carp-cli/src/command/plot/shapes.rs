//! The shapes that figures are made of. What they look like is in the style sheet, by class.

use svg::node::element::{Circle, Line, Rectangle, Text, Title};

/// A rectangle on the page, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::command) struct Area {
    pub(in crate::command) x: f64,
    pub(in crate::command) y: f64,
    pub(in crate::command) width: f64,
    pub(in crate::command) height: f64,
}

impl Area {
    pub(in crate::command) fn right(self) -> f64 {
        self.x + self.width
    }

    pub(in crate::command) fn bottom(self) -> f64 {
        self.y + self.height
    }
}

pub(in crate::command) fn rectangle(class: &str, area: Area) -> Rectangle {
    Rectangle::new()
        .set("class", class)
        .set("x", px(area.x))
        .set("y", px(area.y))
        .set("width", px(area.width))
        .set("height", px(area.height))
}

/// A rectangle that says what it means to those who point at it, or hear it.
pub(in crate::command) fn titled(class: &str, area: Area, title: &str) -> Rectangle {
    rectangle(class, area).add(Title::new(title))
}

pub(in crate::command) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", px(from.0))
        .set("y1", px(from.1))
        .set("x2", px(to.0))
        .set("y2", px(to.1))
}

/// A text that begins at a point; with the class `middle` or `end` it is centred there, or ends.
pub(in crate::command) fn text(class: &str, at: (f64, f64), content: impl Into<String>) -> Text {
    Text::new(content).set("class", class).set("x", px(at.0)).set("y", px(at.1))
}

pub(in crate::command) fn dot(class: &str, at: (f64, f64), radius: f64) -> Circle {
    Circle::new().set("class", class).set("cx", px(at.0)).set("cy", px(at.1)).set("r", px(radius))
}

/// About the width of a text in the fonts of the style sheet, rather more than less.
pub(in crate::command) fn width_of(text: &str, size: f64) -> f64 {
    let width = |character: char| match character {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' => 0.37,
        'm' | 'w' | 'M' | 'W' => 0.95,
        _ => 0.63,
    };
    text.chars().map(width).sum::<f64>() * size
}

/// Hundredths of a pixel are more than anybody sees.
pub(in crate::command) fn px(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
