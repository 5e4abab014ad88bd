//! Records the positions of everything on the screen, for the test that clicks: one line of JSON
//! for each change.
//!
//! Invariant: a frame is recorded when the next one begins, so it is visible by then. The record
//! has no text of a field, hence no password, and no session id.

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
    /// The previous frame, and the last frame in the file.
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
            // If this write fails, only the test notices.
            drop(self.file.write_all(self.drawn.as_bytes()));
            self.written.clone_from(&self.drawn);
        }
        if line != self.written {
            // This frame is on the screen when the next frame begins.
            context.request_repaint();
        }
        self.drawn = line;
    }
}
