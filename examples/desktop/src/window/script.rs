//! Where everything is on the screen, for the test that clicks: a line of JSON whenever that changes.
//!
//! Invariant: what is written can be seen: a frame is noted when the next one begins. No field's text, so no password; no id.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use eframe::egui;
use notes::state::Model;
use serde_json::json;

use crate::window::name_of;
use crate::window::parts::Parts;

pub(crate) struct Script {
    file: File,
    /// What the frame before had, and what is in the file.
    drawn: String,
    written: String,
}

impl Script {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, drawn: String::new(), written: String::new() })
    }

    pub(crate) fn note(&mut self, context: &egui::Context, model: &Model, parts: &Parts) {
        let scale = context.pixels_per_point();
        let all: Vec<_> = parts
            .all
            .iter()
            .map(|part| {
                let centre = part.rect.center() * scale;
                json!({
                    "name": part.name,
                    "text": part.text,
                    "x": centre.x,
                    "y": centre.y,
                    "enabled": part.enabled,
                })
            })
            .collect();
        let seen =
            json!({ "screen": name_of(&model.screen), "busy": model.is_busy(), "parts": all });
        let line = format!("{seen}\n");
        if self.drawn != self.written {
            // Without it the test fails, and nobody else misses it.
            drop(self.file.write_all(self.drawn.as_bytes()));
            self.written.clone_from(&self.drawn);
        }
        if line != self.written {
            // This frame is on the screen once the next one begins.
            context.request_repaint();
        }
        self.drawn = line;
    }
}
