"""A tenant's own settings over HTTP: keys, members, viewer tokens; and what the API's other rooms share with them."""
