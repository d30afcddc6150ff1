"""Maidenhead locators, six characters."""

from string import ascii_uppercase as AZ


def to_locator(lat, lon):
    if not (-90 <= lat < 90 and -180 <= lon < 180):
        raise ValueError("outside of this planet")
    lon, lat = lon + 180, lat + 90
    return (
        AZ[int(lon // 20)] + AZ[int(lat // 10)]
        + str(int(lon % 20 // 2)) + str(int(lat % 10 // 1))
        + AZ[int(lon % 2 * 12)].lower() + AZ[int(lat % 1 * 24)].lower()
    )


def to_degrees(locator):
    """Centre of a square."""
    l = locator.upper()
    if len(l) != 6:
        raise ValueError("a locator has six characters")
    lon = AZ.index(l[0]) * 20 + int(l[2]) * 2 + (AZ.index(l[4]) + .5) / 12 - 180
    lat = AZ.index(l[1]) * 10 + int(l[3]) + (AZ.index(l[5]) + .5) / 24 - 90
    return round(lat, 4), round(lon, 4)
