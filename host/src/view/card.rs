//! Cards: how a ticket looks on the board. Data, never markup.

use crate::domain::plugin::{Badge, Card, Chip, Tone};
use serde::Serialize;

/// A card.
#[derive(Debug, Serialize)]
pub struct CardView {
    badges: Vec<BadgeView>,
    warnings: Vec<BadgeView>,
    chips: Vec<ChipView>,
    preview: Option<String>,
}

#[derive(Debug, Serialize)]
struct BadgeView {
    label: String,
    tone: &'static str,
}

#[derive(Debug, Serialize)]
struct ChipView {
    field: Option<String>,
    label: String,
    value: String,
}

impl From<Card> for CardView {
    fn from(card: Card) -> Self {
        Self {
            badges: card.badges.into_iter().map(BadgeView::from).collect(),
            warnings: card.warnings.into_iter().map(BadgeView::from).collect(),
            chips: card.chips.into_iter().map(ChipView::from).collect(),
            preview: card.preview,
        }
    }
}

impl From<Badge> for BadgeView {
    fn from(badge: Badge) -> Self {
        let tone = match badge.tone {
            Tone::Neutral | Tone::Other(_) => "neutral",
            Tone::Outline => "outline",
            Tone::Info => "info",
            Tone::Success => "success",
            Tone::Warning => "warning",
            Tone::Danger => "danger",
        };
        Self { label: badge.label, tone }
    }
}

impl From<Chip> for ChipView {
    fn from(chip: Chip) -> Self {
        Self { field: chip.field, label: chip.label, value: chip.value }
    }
}
