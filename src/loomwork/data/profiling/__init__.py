"""What `data.profile` measures, one module a subject. Each gives JSON; the page is made from the JSON alone."""
