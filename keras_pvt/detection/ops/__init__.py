"""Operations on boxes, anchors and masks."""
