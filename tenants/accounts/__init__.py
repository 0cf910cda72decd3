"""Accounts of people by django-allauth: sign-in, reset, second factor, sessions, address.

`adapter` fits it to the gate and the walls, `notes` writes what happens into the trail of the side where it happens,
`cache` lets attempts count in all processes, `acceptance` counts those with invitations, `factors` keeps the
secrets of second factors, `urls` has the pages. docs/decisions/0028 says why it is so.
"""
