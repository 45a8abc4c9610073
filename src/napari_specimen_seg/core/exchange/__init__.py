"""Labels in the formats of other annotation programs: COCO, Label Studio, GeoJSON.

Each format has a file of its own that turns labels into its regions and back; what they share is a `Sketch`.
"""
